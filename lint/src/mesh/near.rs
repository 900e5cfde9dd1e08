//! Selectors that miss by little: the label that was meant, for suggestions and for telling a mistake from
//! pods that are not in the input.

use super::workloads::{Workload, WorkloadId, Workloads};
use crate::resource::field::Map;
use crate::rule::did_you_mean;
use crate::span::Spanned;

/// How close is close enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closeness {
    /// Hardly anything but a mistake: another spelling of the same version, or one slip of the keyboard.
    Mistake,
    /// Worth suggesting.
    Similar,
}

/// A workload that carries every pair of a selector but one, which it carries with a similar value.
#[derive(Debug)]
pub struct NearMiss<'s, 'm, 'a> {
    /// The value in the selector.
    pub wanted: &'s Spanned<String>,
    /// The value on the pods.
    pub found: &'a Spanned<String>,
    /// The pods.
    pub workload: &'m Workload<'a>,
}

/// The first near miss of a selector among the workloads that `in_scope` admits. A selector of one pair is
/// compared with the workloads of `home`, or with one for each value that its key has anywhere.
pub fn near_miss<'s, 'm, 'a>(
    workloads: &'m Workloads<'a>,
    selector: &'s Map<String>,
    home: Option<&str>,
    closeness: Closeness,
    in_scope: impl Fn(&Workload<'a>) -> bool,
) -> Option<NearMiss<'s, 'm, 'a>> {
    selector.iter().find_map(|(key, wanted)| {
        let is_near = |workload: &'m Workload<'a>| {
            let found = workload.labels.find(key)?;
            let near = is_near(wanted, found, closeness);
            (near && in_scope(workload)).then_some(NearMiss { wanted, found, workload })
        };
        all_but(workloads, selector, key, home).into_iter().find_map(is_near)
    })
}

/// The workloads that carry every pair of a selector except perhaps the one of a key; when there is no
/// other pair, those of `home`, or one for each value that the key has anywhere.
#[must_use]
pub fn all_but<'m, 'a>(
    workloads: &'m Workloads<'a>,
    selector: &Map<String>,
    key: &str,
    home: Option<&str>,
) -> Vec<&'m Workload<'a>> {
    let others = || selector.iter().filter(|(other, _)| other.value != key);
    let rarest = others().map(|(k, v)| workloads.with_label(k, v)).min_by_key(|ids| ids.len());
    let ids: Vec<WorkloadId> = match (rarest, home) {
        (Some(ids), _) => ids.to_vec(),
        (None, Some(namespace)) => workloads.in_namespace(namespace).to_vec(),
        (None, None) => workloads.with_key(key).to_vec(),
    };
    ids.into_iter()
        .filter_map(|id| workloads.get(id))
        .filter(|workload| others().all(|(k, v)| workload.labels.text(k) == Some(v.as_str())))
        .collect()
}

/// Whether a label is put on pods by something that runs in the cluster, so that no template carries it.
#[must_use]
pub fn is_added_in_cluster(key: &str) -> bool {
    const KEYS: &[&str] = &[
        "controller-revision-hash",
        "controller-uid",
        "job-name",
        "pod-template-generation",
        "pod-template-hash",
        "rollouts-pod-template-hash",
        "istio.io/gateway-name",
    ];
    const PREFIXES: &[&str] = &[
        "apps.kubernetes.io/",
        "batch.kubernetes.io/",
        "gateway.istio.io/",
        "gateway.networking.k8s.io/",
        "security.istio.io/",
        "service.istio.io/",
        "statefulset.kubernetes.io/",
        "topology.istio.io/",
        "topology.kubernetes.io/",
    ];
    KEYS.contains(&key) || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

fn is_near(wanted: &str, found: &str, closeness: Closeness) -> bool {
    if wanted == found {
        return false;
    }
    let folded = |text: &str| {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect::<String>()
    };
    let same_version = match (version(wanted), version(found)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    };
    if same_version || folded(wanted) == folded(found) {
        return true;
    }
    // `v1` and `v2` differ by one letter too, and mean it.
    if digits(wanted) != digits(found) {
        return false;
    }
    match closeness {
        Closeness::Mistake => {
            wanted.chars().count() >= 4
                && strsim::osa_distance(&wanted.to_lowercase(), &found.to_lowercase()) == 1
        }
        Closeness::Similar => did_you_mean(wanted, [found]).is_some(),
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// The numbers of `1.0`, `v1`, `v1-0`, without zeros at the end; `None` for anything else.
fn version(text: &str) -> Option<Vec<&str>> {
    let lower_v = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let mut numbers: Vec<&str> = lower_v.split(['.', '-', '_']).collect();
    if numbers.iter().any(|number| number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    while numbers.len() > 1 && numbers.last().is_some_and(|number| number.bytes().all(|b| b == b'0')) {
        numbers.pop();
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_spelling_of_a_version_is_near_and_another_version_is_not() {
        let near = |a, b| is_near(a, b, Closeness::Mistake);
        assert!(near("v1", "1.0") && near("v1-0", "1.0") && near("1", "v1.0.0") && near("V2", "v2"));
        assert!(!near("v1", "v2") && !near("1.0", "1.1") && !near("v1", "v10") && !near("1.0", "1.0"));
    }

    #[test]
    fn one_slip_of_the_keyboard_is_a_mistake_and_two_are_similar() {
        let near = |a, b| (is_near(a, b, Closeness::Mistake), is_near(a, b, Closeness::Similar));
        assert_eq!(near("ingresgateway", "ingressgateway"), (true, true));
        assert_eq!(near("voting-analitycs", "voting-analytics"), (false, true));
        assert_eq!(near("egressgateway", "ingressgateway"), (false, true));
        assert_eq!(near("reviews", "ratings"), (false, false));
        assert_eq!(near("gateway-1", "gateway-2"), (false, false));
    }
}
