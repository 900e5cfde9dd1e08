//! The mTLS mode a workload's port accepts, and why
//! (`security/authn/policy_applier.go#ComposePeerAuthentication`).

use rustc_hash::FxHashMap;

use crate::resource::field::Map;
use crate::resource::policy::PeerAuthentication;
use crate::resource::{Resource, Spec};
use crate::span::Span;

/// What a server accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// mTLS only.
    Strict,
    /// mTLS and plaintext.
    Permissive,
    /// Plaintext only.
    Disable,
}

impl Mode {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "STRICT" => Some(Self::Strict),
            "PERMISSIVE" => Some(Self::Permissive),
            "DISABLE" => Some(Self::Disable),
            // UNSET and absent inherit.
            _ => None,
        }
    }

    /// As written in a PeerAuthentication.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "STRICT",
            Self::Permissive => "PERMISSIVE",
            Self::Disable => "DISABLE",
        }
    }
}

/// How far a PeerAuthentication reaches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// The root namespace's policy without a selector.
    Mesh,
    /// A namespace's policy without a selector.
    Namespace,
    /// A policy with a selector.
    Workload,
    /// One port of a policy with a selector.
    Port,
}

/// A mode and the policy that decides it; `PERMISSIVE` by nobody is Istio's default.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// What the server accepts.
    pub mode: Mode,
    /// The PeerAuthentication and the mode in it.
    pub by: Option<(&'a Resource, Span)>,
    /// How far that policy reaches.
    pub scope: Scope,
}

/// One PeerAuthentication.
#[derive(Debug)]
pub struct Policy<'a> {
    /// The object.
    pub resource: &'a Resource,
    /// Its typed spec.
    pub spec: &'a PeerAuthentication,
    /// How far it reaches; never [`Scope::Port`].
    pub scope: Scope,
}

impl<'a> Policy<'a> {
    /// The labels of the workloads it is limited to; `None` when it has no selector or an empty one.
    #[must_use]
    pub fn selector(&self) -> Option<&'a Map<String>> {
        let labels = &self.spec.selector.get()?.match_labels;
        (!labels.is_empty()).then_some(labels)
    }

    fn mode(&self) -> Option<(Mode, Span)> {
        let mode = self.spec.mtls.get()?.mode.as_ref()?;
        Some((Mode::parse(mode)?, mode.span))
    }

    /// Its own mode; `None` when it inherits.
    #[must_use]
    pub fn decision(&self) -> Option<Decision<'a>> {
        let (mode, span) = self.mode()?;
        Some(Decision { mode, by: Some((self.resource, span)), scope: self.scope })
    }

    /// Its modes of single ports, as far as they do not inherit.
    pub fn port_decisions(&self) -> impl Iterator<Item = (&'a str, Decision<'a>)> {
        self.spec.port_level_mtls.iter().filter_map(|(port, mtls)| {
            let mode = mtls.mode.as_ref()?;
            let decision = Decision {
                mode: Mode::parse(mode)?,
                by: Some((self.resource, mode.span)),
                scope: Scope::Port,
            };
            Some((port.as_str(), decision))
        })
    }
}

/// All PeerAuthentications.
#[derive(Debug, Default)]
pub struct PeerAuthentications<'a> {
    policies: Vec<Policy<'a>>,
    by_namespace: FxHashMap<&'a str, Vec<usize>>,
    root: String,
}

impl<'a> PeerAuthentications<'a> {
    pub(super) fn new(resources: &[&'a Resource], root: &str) -> Self {
        let mut all = Self { root: root.to_owned(), ..Self::default() };
        for resource in resources.iter().copied() {
            let Spec::PeerAuthentication(spec) = &resource.spec else { continue };
            let has_selector = spec.selector.get().is_some_and(|selector| !selector.match_labels.is_empty());
            let scope = match (has_selector, resource.namespace() == root) {
                (true, _) => Scope::Workload,
                (false, true) => Scope::Mesh,
                (false, false) => Scope::Namespace,
            };
            all.by_namespace.entry(resource.namespace()).or_default().push(all.policies.len());
            all.policies.push(Policy { resource, spec, scope });
        }
        all
    }

    /// All policies.
    pub fn iter(&self) -> impl Iterator<Item = &Policy<'a>> {
        self.policies.iter()
    }

    /// The policies of a namespace, in the order of the input.
    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Policy<'a>> {
        self.by_namespace.get(namespace).into_iter().flatten().filter_map(|index| self.policies.get(*index))
    }

    /// The mode of a namespace without regard to workload policies: this is what auto-mTLS clients are
    /// built from (`push_context.go#BestEffortInferServiceMTLSMode`).
    #[must_use]
    pub fn of_namespace(&self, namespace: &str) -> Decision<'a> {
        let own = (namespace != self.root)
            .then(|| self.in_namespace(namespace).find(|p| p.scope == Scope::Namespace))
            .flatten();
        own.and_then(Policy::decision)
            .or_else(|| self.in_namespace(&self.root).find(|p| p.scope == Scope::Mesh)?.decision())
            .unwrap_or(Decision { mode: Mode::Permissive, by: None, scope: Scope::Mesh })
    }

    /// The mode of one port of the pods with these labels. Of several policies of one scope the oldest
    /// wins in a cluster; here the first of the input. A selector in the root namespace is ignored.
    #[must_use]
    pub fn of_workload(&self, namespace: &str, labels: &Map<String>, port: Option<u32>) -> Decision<'a> {
        let inherited = self.of_namespace(namespace);
        if namespace == self.root {
            return inherited;
        }
        let own = self
            .in_namespace(namespace)
            .find(|policy| policy.selector().is_some_and(|selector| selector.selects(labels)));
        let Some(own) = own else { return inherited };
        let workload = own.decision().unwrap_or(inherited);
        let port_mode = port.and_then(|port| own.spec.port_level_mtls.find(&port.to_string()));
        let Some(mode) = port_mode.and_then(|mtls| mtls.mode.as_ref()) else { return workload };
        match Mode::parse(mode) {
            Some(parsed) => {
                Decision { mode: parsed, by: Some((own.resource, mode.span)), scope: Scope::Port }
            }
            None => workload,
        }
    }

    /// Whether the mode of these pods depends on which of several policies of one scope is the oldest,
    /// which only the cluster knows.
    #[must_use]
    pub fn is_order_dependent(&self, namespace: &str, labels: &Map<String>) -> bool {
        let several = |namespace: &str, scope: Scope| {
            self.in_namespace(namespace).filter(|policy| policy.scope == scope).nth(1).is_some()
        };
        let selecting = self
            .in_namespace(namespace)
            .filter(|policy| policy.selector().is_some_and(|selector| selector.selects(labels)));
        (namespace != self.root && (selecting.take(2).count() > 1 || several(namespace, Scope::Namespace)))
            || several(&self.root, Scope::Mesh)
    }
}
