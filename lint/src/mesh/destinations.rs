//! Which DestinationRule wins for a client, and what it says (`push_context.go#destinationRule`,
//! `destination_rule.go#mergeDestinationRule`, `networking/util/util.go`).

use rustc_hash::FxHashMap;

use super::config::MeshConfig;
use super::export::ExportTo;
use super::host::{is_wildcard, matches, more_specific, resolve_short_name};
use crate::resource::field::Map;
use crate::resource::networking::{ClientTls, DestinationRule, Subset, TrafficPolicy};
use crate::resource::{Resource, Spec};
use crate::span::{Span, Spanned};

/// A DestinationRule with its host expanded.
#[derive(Debug)]
pub struct Rule<'a> {
    /// The object.
    pub resource: &'a Resource,
    /// Its typed spec.
    pub spec: &'a DestinationRule,
    /// The fully qualified host, maybe a wildcard.
    pub host: String,
    /// Where the host is written.
    pub host_span: Span,
    /// Who can see it. A rule with a workloadSelector is private.
    pub export_to: ExportTo<'a>,
}

impl<'a> Rule<'a> {
    /// The namespace of the rule.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        self.resource.namespace()
    }

    /// The pods of the rule's own namespace that it is limited to.
    #[must_use]
    pub fn selector(&self) -> Option<&'a Map<String>> {
        self.spec.workload_selector.get().map(|selector| &selector.match_labels)
    }
}

/// The client's side of a lookup.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Its namespace; `None` for a gateway whose pods are not in the input: it sees what is exported at all.
    pub namespace: Option<&'a str>,
    /// Its pods' labels, when known.
    pub labels: Option<&'a Map<String>>,
}

/// The rules that apply together for one client and host: same host string, same namespace, merged.
#[derive(Clone, Debug, Default)]
pub struct Effective<'m, 'a> {
    parts: Vec<&'m Rule<'a>>,
}

/// TLS settings of a client and the place that decides them.
#[derive(Clone, Copy, Debug)]
pub struct ClientTlsSetting<'a> {
    /// The DestinationRule.
    pub resource: &'a Resource,
    /// The `tls` block.
    pub tls: &'a Spanned<ClientTls>,
}

impl ClientTlsSetting<'_> {
    /// `DISABLE`, `SIMPLE`, `MUTUAL` or `ISTIO_MUTUAL`; an absent mode is `DISABLE`, the enum's zero value.
    #[must_use]
    pub fn mode(&self) -> &str {
        match self.tls.mode.text() {
            "" => "DISABLE",
            mode => mode,
        }
    }

    /// Where the mode is written, or the `tls` block.
    #[must_use]
    pub fn span(&self) -> Span {
        self.tls.mode.span().unwrap_or(self.tls.span)
    }
}

impl<'m, 'a> Effective<'m, 'a> {
    /// The merged rules; the first gives the traffic policy of the destination.
    #[must_use]
    pub fn rules(&self) -> &[&'m Rule<'a>] {
        &self.parts
    }

    /// The rule that a message should name.
    #[must_use]
    pub fn first(&self) -> Option<&'m Rule<'a>> {
        self.parts.first().copied()
    }

    /// Every subset; of two with one name the first counts.
    pub fn subsets(&self) -> impl Iterator<Item = (&'m Rule<'a>, &'a Spanned<Subset>)> {
        self.parts.iter().flat_map(|rule| rule.spec.subsets.iter().map(move |subset| (*rule, subset)))
    }

    /// The subset with a name.
    #[must_use]
    pub fn subset(&self, name: &str) -> Option<(&'m Rule<'a>, &'a Spanned<Subset>)> {
        self.subsets().find(|(_, subset)| subset.name.text() == name)
    }

    /// The client TLS settings for a Service port, through a subset or not. Port-level settings replace the
    /// destination's whole policy for their port; a subset's settings merge over it, and the subset's own
    /// port-level settings replace both.
    #[must_use]
    pub fn client_tls(&self, port: u32, subset: Option<&str>) -> Option<ClientTlsSetting<'a>> {
        let destination = self.parts.iter().find_map(|rule| {
            let policy = rule.spec.traffic_policy.get()?;
            Some((rule.resource, policy))
        });
        let mut setting = destination.and_then(|(resource, policy)| match port_level(policy, port) {
            Some(port_policy) => Some((resource, port_policy?)),
            None => Some((resource, policy.tls.as_ref()?)),
        });
        let chosen = subset.and_then(|name| self.subset(name));
        if let Some((rule, policy)) =
            chosen.and_then(|(rule, subset)| Some((rule, subset.traffic_policy.get()?)))
        {
            if let Some(tls) = policy.tls.as_ref() {
                setting = Some((rule.resource, tls));
            }
            if let Some(port_policy) = port_level(policy, port) {
                setting = port_policy.map(|tls| (rule.resource, tls));
            }
        }
        setting.map(|(resource, tls)| ClientTlsSetting { resource, tls })
    }
}

/// The port-level block for a port, and the TLS settings in it.
fn port_level(policy: &TrafficPolicy, port: u32) -> Option<Option<&Spanned<ClientTls>>> {
    let block = policy.port_level_settings.iter().find(|settings| {
        settings.port.get().and_then(|selector| selector.number.get()).is_some_and(|number| *number == port)
    })?;
    Some(block.tls.as_ref())
}

/// All DestinationRules.
#[derive(Debug, Default)]
pub struct DestinationRules<'a> {
    rules: Vec<Rule<'a>>,
    by_host: FxHashMap<String, Vec<usize>>,
    wildcards: Vec<usize>,
}

impl<'a> DestinationRules<'a> {
    pub(super) fn new(resources: &[&'a Resource], config: &'a MeshConfig) -> Self {
        let mut all = Self::default();
        for resource in resources.iter().copied() {
            let Spec::DestinationRule(spec) = &resource.spec else { continue };
            let Some(host) = spec.host.as_ref() else { continue };
            let index = all.rules.len();
            let name = resolve_short_name(&host.to_ascii_lowercase(), resource.namespace(), &config.domain);
            let export_to = if spec.workload_selector.is_some() {
                ExportTo::Namespaces(vec!["."])
            } else {
                ExportTo::new(&spec.export_to, &config.default_destination_rule_export_to)
            };
            all.by_host.entry(name.clone()).or_default().push(index);
            if is_wildcard(&name) {
                all.wildcards.push(index);
            }
            all.rules.push(Rule { resource, spec, host: name, host_span: host.span, export_to });
        }
        all
    }

    /// All rules.
    pub fn iter(&self) -> impl Iterator<Item = &Rule<'a>> {
        self.rules.iter()
    }

    /// Every rule whose host covers a fully qualified name, wherever it lives.
    pub fn matching(&self, host: &str) -> impl Iterator<Item = &Rule<'a>> {
        let exact = self.by_host.get(host).into_iter().flatten();
        let wildcards = self.wildcards.iter();
        let mut indexes: Vec<usize> = exact.chain(wildcards).copied().collect();
        indexes.sort_unstable();
        indexes.dedup();
        let host = host.to_owned();
        indexes.into_iter().filter_map(|i| self.rules.get(i)).filter(move |rule| matches(&rule.host, &host))
    }

    /// The rules that win for a client, or `None`: the first of (1) the client's own namespace, (2) the
    /// host's namespace if exported to the client, (3) the root namespace if exported. No fall-through:
    /// a rule of the client's namespace hides the subsets of all others.
    #[must_use]
    pub fn effective<'m>(
        &'m self,
        client: Client<'_>,
        host: &str,
        host_namespace: Option<&str>,
        root_namespace: &str,
    ) -> Option<Effective<'m, 'a>> {
        if let Some(namespace) = client.namespace {
            let private_only = namespace == root_namespace;
            let own = self.in_namespace(namespace, host, client, |rule| {
                !private_only || rule.export_to.is_private(namespace)
            });
            if own.is_some() {
                return own;
            }
        }
        let exported = |rule: &Rule<'a>| {
            rule.selector().is_none()
                && client.namespace.is_none_or(|ns| rule.export_to.reaches(ns, rule.namespace()))
        };
        host_namespace
            .and_then(|namespace| self.in_namespace(namespace, host, client, exported))
            .or_else(|| self.in_namespace(root_namespace, host, client, exported))
    }

    /// The merged rules for the most specific matching host string of one namespace.
    fn in_namespace<'m>(
        &'m self,
        namespace: &str,
        host: &str,
        client: Client<'_>,
        usable: impl Fn(&Rule<'a>) -> bool,
    ) -> Option<Effective<'m, 'a>> {
        // A wildcard meets hosts that the index has under their own names.
        let wide = self.rules.iter().filter(|rule| is_wildcard(host) && matches(&rule.host, host));
        let exact = self.matching(host).filter(|_| !is_wildcard(host));
        let candidates: Vec<&Rule<'a>> = wide
            .chain(exact)
            .filter(|rule| rule.namespace() == namespace && usable(rule))
            .filter(|rule| match (rule.selector(), client.labels) {
                (Some(selector), Some(labels)) => selector.selects(labels),
                (Some(_), None) => false,
                (None, _) => true,
            })
            .collect();
        let best = candidates
            .iter()
            .copied()
            .reduce(|best, rule| if more_specific(&rule.host, &best.host) { rule } else { best })?;
        let selected = candidates.iter().any(|rule| rule.host == best.host && rule.selector().is_some());
        let parts = candidates
            .into_iter()
            .filter(|rule| rule.host == best.host && rule.selector().is_some() == selected)
            .collect();
        Some(Effective { parts })
    }
}
