//! Lines of text above definitions: how many routes lead there.

use rustc_hash::FxHashSet;

use super::View;
use super::view;
use crate::incremental::Incremental;
use crate::mesh::host::matches;
use crate::mesh::routes::Binding;
use crate::resource::{Resource, Spec};
use crate::span::{FileId, Span};

/// What to show above a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lens {
    /// The definition.
    pub span: Span,
    /// `2 routes`, `0 routes · orphaned`.
    pub title: String,
    /// Where the routes are.
    pub places: Vec<Span>,
}

/// The lenses of a file: for Services, subsets, Gateways and what makes pods.
#[must_use]
pub fn lenses(deployment: &Incremental, file: FileId) -> Vec<Lens> {
    let own = deployment.input().resources.iter().filter(|resource| resource.span.file == file);
    let mut done: FxHashSet<Span> = FxHashSet::default();
    let mut found = Vec::new();
    for resource in own {
        if done.contains(&resource.span) || !is_shown(&resource.spec) {
            continue;
        }
        // One state answers for every object of the file that is in it last.
        view(deployment, resource.span, |view| {
            for other in view.mesh.resources() {
                if other.span.file == file && done.insert(other.span) {
                    view.lenses_of(other, &mut found);
                }
            }
        });
    }
    found.sort_by_key(|lens| lens.span.start);
    found
}

fn is_shown(spec: &Spec) -> bool {
    matches!(spec, Spec::Service(_) | Spec::DestinationRule(_) | Spec::Gateway(_) | Spec::Workload(_))
}

impl View<'_> {
    fn lenses_of(&self, resource: &Resource, found: &mut Vec<Lens>) {
        let mesh = &self.mesh;
        match &resource.spec {
            Spec::Service(_) => {
                for host in mesh.registry.iter().filter(|host| std::ptr::eq(host.resource, resource)) {
                    let places: Vec<Span> =
                        mesh.routes.targets_of(&host.name).map(|(_, target)| target.host_span).collect();
                    let mut title = count(places.len(), "route");
                    if host.selects_pods() {
                        title = format!("{title} · {}", count(host.workloads.len(), "workload"));
                    }
                    found.push(Lens { span: resource.name.span, title, places });
                }
            }
            Spec::DestinationRule(_) => {
                let rules = mesh.destination_rules.iter();
                for rule in rules.filter(|rule| std::ptr::eq(rule.resource, resource)) {
                    for subset in &rule.spec.subsets {
                        let Some(name) = subset.name.0.as_ref() else { continue };
                        let targets =
                            mesh.routes.targets().filter(|(_, target)| matches(&rule.host, &target.host));
                        let named = targets.filter_map(|(_, target)| {
                            target.subset().filter(|subset| subset.value == name.value)
                        });
                        let places: Vec<Span> = named.map(|subset| subset.span).collect();
                        let mut title = count(places.len(), "route");
                        if let Some(host) = mesh.judged_service(&rule.host) {
                            let pods = mesh.subset_workloads(host, &subset.labels);
                            title = format!("{title} · {}", count(pods.len(), "workload"));
                        }
                        if places.is_empty() {
                            title.push_str(" · orphaned");
                        }
                        found.push(Lens { span: name.span, title, places });
                    }
                }
            }
            Spec::Gateway(_) => {
                let own = |binding: &Binding<'_>| match binding {
                    Binding::Gateway { namespace, name, written }
                        if namespace == resource.namespace() && *name == resource.name.value =>
                    {
                        Some(written.span)
                    }
                    _ => None,
                };
                let bindings = mesh.routes.iter().flat_map(|service| &service.bindings);
                let places: Vec<Span> = bindings.filter_map(own).collect();
                let mut title = count(places.len(), "VirtualService");
                if places.is_empty() {
                    title.push_str(" · orphaned");
                }
                found.push(Lens { span: resource.name.span, title, places });
            }
            Spec::Workload(_) => {
                let workloads = mesh.workloads.iter();
                let own = workloads.filter(|(_, workload)| std::ptr::eq(workload.resource, resource));
                for (id, workload) in own {
                    let hosts = mesh.registry.in_namespace(workload.namespace());
                    let behind: Vec<Span> = hosts
                        .filter(|host| host.workloads.contains(&id))
                        .map(|host| host.resource.name.span)
                        .collect();
                    let title = count(behind.len(), "Service");
                    found.push(Lens { span: resource.name.span, title, places: behind });
                }
            }
            _ => {}
        }
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
