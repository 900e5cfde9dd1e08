//! WasmPlugins that run Coalmine's filter: what they are configured to do and on which pods they do it
//! (`push_context.go#WasmPluginsByListenerInfo`).

use coalmine_filter::config::{Config, Flag, Mode, Problem};

use super::workloads::Workload;
use crate::plugin;
use crate::resource::field::Map;
use crate::resource::policy::WasmPlugin;
use crate::resource::{Resource, Spec};

/// One WasmPlugin that runs the filter.
#[derive(Debug)]
pub struct Filter<'a> {
    /// The object.
    pub resource: &'a Resource,
    /// Its typed spec.
    pub spec: &'a WasmPlugin,
    /// Its configuration, as the filter itself understands it.
    pub config: Config,
    /// What is wrong with the configuration.
    pub problems: Vec<Problem>,
}

impl<'a> Filter<'a> {
    /// The filter that an object runs, if it does.
    #[must_use]
    pub fn of(resource: &'a Resource) -> Option<Self> {
        let Spec::WasmPlugin(spec) = &resource.spec else { return None };
        if !plugin::is_filter(spec) {
            return None;
        }
        let (config, problems) = plugin::configuration(spec);
        Some(Self { resource, spec, config, problems })
    }

    /// Whether it can run on gateways at all: `match.mode` of a gateway is CLIENT, so SERVER never is one.
    #[must_use]
    pub fn runs_at_gateways(&self) -> bool {
        let selectors = &self.spec.r#match;
        selectors.is_empty() || selectors.iter().any(|selector| selector.mode.text() != "SERVER")
    }

    fn selector(&self) -> Option<&'a Map<String>> {
        self.spec.selector.get().map(|selector| &selector.match_labels)
    }

    /// `targetRefs` name objects, not labels; which pods those have is not known here.
    fn has_targets(&self) -> bool {
        self.spec.target_ref.is_some() || !self.spec.target_refs.is_empty()
    }

    /// Whether it runs on the pods of a workload: those of its own namespace, or of every namespace when it is in
    /// the root namespace. With `targetRefs` it might.
    #[must_use]
    pub fn runs_on(&self, workload: &Workload<'_>, root_namespace: &str) -> bool {
        if self.has_targets() {
            return true;
        }
        let namespace = self.resource.namespace();
        (namespace == root_namespace || namespace == workload.namespace())
            && self.selector().is_none_or(|selector| selector.selects(workload.labels))
    }

    /// Whether it might run on pods that are not in the input and that carry at least these labels.
    #[must_use]
    pub fn may_run_on(&self, labels: &Map<String>) -> bool {
        let contradicts = |selector: &Map<String>| {
            selector
                .iter()
                .any(|(key, value)| labels.text(key.as_str()).is_some_and(|other| other != value.as_str()))
        };
        self.has_targets() || !self.selector().is_some_and(contradicts)
    }

    /// Whether it removes what clients send in a header, whose name is in lower case. It does so in every mode, with a
    /// broken configuration too.
    #[must_use]
    pub fn strips(&self, header: &str) -> bool {
        self.config.tags.iter().any(|tag| tag == header)
    }

    /// The values of tag headers that it can set: flag, index of the flag, header, variant and value. The tag of
    /// stable is not among them: nobody needs to route on it.
    pub fn tags(&self) -> impl Iterator<Item = Tag<'_>> {
        let sets = self.config.mode == Mode::Enforce && !self.config.inert;
        let flags = self.config.flags.iter().enumerate().filter(move |(_, flag)| sets && flag.enabled);
        flags.flat_map(|(index, flag)| {
            let header = self.config.tags.get(flag.tag);
            let variants = flag.variants.iter().enumerate().filter(|(place, _)| can_be(flag, *place));
            variants.filter_map(move |(_, variant)| {
                Some(Tag { index, flag, header: header?, variant: &variant.name, value: &variant.tag })
            })
        })
    }
}

/// A tag header with a value that a filter can set.
#[derive(Debug, Clone, Copy)]
pub struct Tag<'f> {
    /// Place of the flag in the configuration.
    pub index: usize,
    /// The flag.
    pub flag: &'f Flag,
    /// Name of the header, in lower case.
    pub header: &'f str,
    /// Name of the variant.
    pub variant: &'f str,
    /// The header's value.
    pub value: &'f str,
}

/// Whether anybody can get a variant: by percentage, by opting in or being allowed, or by a signed override.
fn can_be(flag: &Flag, variant: usize) -> bool {
    let chosen = flag.opt_in.as_ref().is_some_and(|cookie| !cookie.on.is_empty()) || !flag.allow.is_empty();
    flag.variants.get(variant).is_some_and(|variant| variant.slice.width > 0)
        || (chosen && flag.opt_variant == variant)
        || flag.query.is_some()
}

/// All of them.
#[derive(Debug, Default)]
pub struct Filters<'a> {
    list: Vec<Filter<'a>>,
}

impl<'a> Filters<'a> {
    pub(super) fn new(resources: &[&'a Resource]) -> Self {
        Self { list: resources.iter().copied().filter_map(Filter::of).collect() }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Filter<'a>> {
        self.list.iter()
    }
}
