//! Host names as Istio compares and expands them (`pkg/config/host`, `pilot/pkg/model/config.go`).

use std::net::IpAddr;

/// Expands a name without a dot to `<name>.<namespace>.svc.<domain>`; anything else stays as it is, so
/// `reviews.prod` is not expanded. `ResolveShortnameToFQDN`.
#[must_use]
pub fn resolve_short_name(name: &str, namespace: &str, domain: &str) -> String {
    if name.is_empty() || name == "*" || name.contains('.') || name.parse::<IpAddr>().is_ok() {
        return name.to_owned();
    }
    format!("{name}.{namespace}.svc.{domain}")
}

/// Whether a name starts with `*`.
#[must_use]
pub fn is_wildcard(name: &str) -> bool {
    name.starts_with('*')
}

/// Whether some host belongs to both names. Suffixes are compared without regard to labels, and
/// `*.foo.com` does not match `foo.com`. `Name.Matches`.
#[must_use]
pub fn matches(a: &str, b: &str) -> bool {
    match (a.strip_prefix('*'), b.strip_prefix('*')) {
        (Some(a), Some(b)) if a.len() < b.len() => b.ends_with(a),
        (Some(a), Some(b)) => a.ends_with(b),
        (Some(a), None) => b.ends_with(a),
        (None, Some(b)) => a.ends_with(b),
        (None, None) => a == b,
    }
}

/// Whether every host of `a` belongs to `b`. `Name.SubsetOf`.
#[must_use]
pub fn is_subset_of(a: &str, b: &str) -> bool {
    match (a.strip_prefix('*'), b.strip_prefix('*')) {
        (Some(a), Some(b)) => a.len() >= b.len() && a.ends_with(b),
        (Some(_), None) => false,
        (None, Some(b)) => a.ends_with(b),
        (None, None) => a == b,
    }
}

/// Whether `pattern` is a better match than `other` for some host: exact before wildcard, then the longer.
#[must_use]
pub fn more_specific(pattern: &str, other: &str) -> bool {
    match (is_wildcard(pattern), is_wildcard(other)) {
        (false, true) => true,
        (true, false) => false,
        _ => pattern.len() > other.len(),
    }
}

/// Service and namespace of `<service>.<namespace>.svc.<domain>`.
#[must_use]
pub fn split_cluster_name<'n>(name: &'n str, domain: &str) -> Option<(&'n str, &'n str)> {
    let prefix = name.strip_suffix(domain)?.strip_suffix(".svc.")?;
    let (service, namespace) = prefix.split_once('.')?;
    (!service.is_empty() && !namespace.is_empty() && !namespace.contains('.')).then_some((service, namespace))
}

/// The address that a name in a request is; IPv6 may be in brackets.
#[must_use]
pub fn address_of(name: &str) -> Option<IpAddr> {
    name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name).parse().ok()
}

/// Whether an address is in a subnet, or is the one that is written without a length; a name is in none.
#[must_use]
pub fn in_subnet(subnet: &str, address: &str) -> bool {
    let (base, length) = subnet.split_once('/').unwrap_or((subnet, ""));
    let (Ok(base), Some(address)) = (base.parse::<IpAddr>(), address_of(address)) else { return false };
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), 32u32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let ((base, width), (address, other)) = (bits(base), bits(address));
    let length = if length.is_empty() { Some(width) } else { length.parse().ok() };
    let Some(length) = length.filter(|length| width == other && *length <= width) else { return false };
    let drop = width - length;
    base.checked_shr(drop).unwrap_or(0) == address.checked_shr(drop).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_dot_is_not_expanded() {
        let fqdn = |name| resolve_short_name(name, "prod", "cluster.local");
        assert_eq!(fqdn("reviews"), "reviews.prod.svc.cluster.local");
        assert_eq!(fqdn("reviews.prod"), "reviews.prod");
        assert_eq!(fqdn("*"), "*");
        assert_eq!(fqdn("10.0.0.1"), "10.0.0.1");
        assert_eq!(fqdn("2001:db8::1"), "2001:db8::1");
    }

    #[test]
    fn wildcards_match_by_suffix_without_label_boundary() {
        assert!(matches("*.foo.com", "a.foo.com"));
        assert!(!matches("*.foo.com", "foo.com"));
        assert!(matches("*foo", "barfoo"));
        assert!(matches("*.com", "*.foo.com"));
        assert!(matches("*", "anything"));
        assert!(is_subset_of("a.foo.com", "*.com"));
        assert!(!is_subset_of("*.com", "a.foo.com"));
        assert!(!is_subset_of("*.com", "*.foo.com"));
    }

    #[test]
    fn exact_beats_wildcard_and_longer_beats_shorter() {
        assert!(more_specific("a.foo.com", "*.foo.com"));
        assert!(more_specific("*.foo.com", "*.com"));
        assert!(!more_specific("*", "*.com"));
    }

    #[test]
    fn cluster_names_split_into_service_and_namespace() {
        assert_eq!(split_cluster_name("a.b.svc.cluster.local", "cluster.local"), Some(("a", "b")));
        assert_eq!(split_cluster_name("a.b.c.svc.cluster.local", "cluster.local"), None);
        assert_eq!(split_cluster_name("a.b", "cluster.local"), None);
    }
}
