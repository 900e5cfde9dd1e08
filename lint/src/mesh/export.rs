//! `exportTo`: which namespaces see an object (`pilot/pkg/model/push_context.go`).

use super::config::MeshConfig;
use crate::resource::Resource;
use crate::resource::field::List;

/// The namespaces that see an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportTo<'a> {
    /// Every namespace.
    All,
    /// These; `.` is the object's own.
    Namespaces(Vec<&'a str>),
}

impl<'a> ExportTo<'a> {
    /// From the object's own list, or the mesh default when it has none. `*` overrides the rest.
    #[must_use]
    pub fn new(own: &'a List<String>, default: &'a [String]) -> Self {
        if own.is_empty() {
            Self::from_iter(default.iter().map(String::as_str))
        } else {
            Self::from_iter(own.iter().map(|namespace| namespace.as_str()))
        }
    }

    /// Of a Service: the annotation `networking.istio.io/exportTo`, a comma-separated list.
    #[must_use]
    pub fn of_service(resource: &'a Resource, config: &'a MeshConfig) -> Self {
        match resource.annotations.text("networking.istio.io/exportTo") {
            Some(list) => Self::from_iter(list.split(',').map(str::trim).filter(|ns| !ns.is_empty())),
            None => Self::from_iter(config.default_service_export_to.iter().map(String::as_str)),
        }
    }

    /// Whether a client in a namespace sees an object of namespace `own`.
    #[must_use]
    pub fn reaches(&self, client: &str, own: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(list) => {
                list.iter().any(|namespace| *namespace == client || (*namespace == "." && client == own))
            }
        }
    }

    /// Whether only the object's own namespace sees it.
    #[must_use]
    pub fn is_private(&self, own: &str) -> bool {
        matches!(self, Self::Namespaces(list) if list.iter().all(|ns| *ns == "." || *ns == own))
    }
}

impl<'a> FromIterator<&'a str> for ExportTo<'a> {
    fn from_iter<I: IntoIterator<Item = &'a str>>(namespaces: I) -> Self {
        let list: Vec<&str> = namespaces.into_iter().collect();
        if list.contains(&"*") { Self::All } else { Self::Namespaces(list) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_overrides_the_rest_and_a_dot_is_the_own_namespace() {
        let all = ExportTo::from_iter([".", "*"]);
        assert!(all.reaches("other", "own"));
        let private = ExportTo::from_iter(["."]);
        assert!(private.reaches("own", "own") && !private.reaches("other", "own"));
        assert!(private.is_private("own"));
        let one = ExportTo::from_iter(["prod"]);
        assert!(one.reaches("prod", "own") && !one.reaches("own", "own"));
    }
}
