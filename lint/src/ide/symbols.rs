//! The outline of a file: its objects and what in them has a name.

use crate::incremental::Incremental;
use crate::linter::Input;
use crate::mesh::routes::RouteKind;
use crate::resource::{Resource, Spec};
use crate::span::{FileId, Span};

/// What a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SymbolKind {
    Object,
    Route,
    Subset,
    Port,
    Server,
    Container,
}

/// Something with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// `VirtualService reviews`.
    pub name: String,
    /// The namespace of an object, and what else tells alike ones apart.
    pub detail: String,
    /// What it is.
    pub kind: SymbolKind,
    /// All of it.
    pub span: Span,
    /// Its name.
    pub name_span: Span,
    /// What is in it.
    pub children: Vec<Symbol>,
}

/// The objects of a file.
#[must_use]
pub fn symbols(deployment: &Incremental, file: FileId) -> Vec<Symbol> {
    let input: &Input = deployment.input();
    let own = input.resources.iter().filter(|resource| resource.span.file == file);
    own.map(|resource| of(deployment, resource)).collect()
}

fn of(deployment: &Incremental, resource: &Resource) -> Symbol {
    let name = &resource.name.value;
    let child = |name: String, detail: String, kind, span: Span, name_span: Option<Span>| {
        let inside = name_span.filter(|inside| span.contains(*inside));
        let name_span = inside.unwrap_or_else(|| deployment.files().head(span));
        Symbol { name, detail, kind, span, name_span, children: Vec::new() }
    };
    let children = match &resource.spec {
        Spec::VirtualService(spec) => {
            let http = spec.http.iter().enumerate().map(|(index, rule)| {
                let (written, detail) = (rule.name.text(), format!("{}[{index}]", RouteKind::Http.as_str()));
                let name = if written.is_empty() { detail.clone() } else { written.to_owned() };
                child(name, detail, SymbolKind::Route, rule.span, rule.name.span())
            });
            let tls = spec.tls.iter().enumerate().map(|(index, rule)| (RouteKind::Tls, index, rule.span));
            let tcp = spec.tcp.iter().enumerate().map(|(index, rule)| (RouteKind::Tcp, index, rule.span));
            let l4 = tls.chain(tcp).map(|(kind, index, span)| {
                child(format!("{}[{index}]", kind.as_str()), String::new(), SymbolKind::Route, span, None)
            });
            http.chain(l4).collect()
        }
        Spec::DestinationRule(spec) => spec
            .subsets
            .iter()
            .map(|subset| {
                let (name, labels) = (subset.name.text().to_owned(), subset.labels.describe());
                child(name, labels, SymbolKind::Subset, subset.span, subset.name.span())
            })
            .collect(),
        Spec::Service(spec) => spec
            .ports
            .iter()
            .map(|port| {
                let number = port.port.get().map_or_else(String::new, u32::to_string);
                let name = port.name.text().to_owned();
                child(number, name, SymbolKind::Port, port.span, port.port.span())
            })
            .collect(),
        Spec::Gateway(spec) => spec
            .servers
            .iter()
            .map(|server| {
                let port = server.port.get();
                let number = port.and_then(|port| port.number.get()).map_or_else(String::new, u32::to_string);
                let hosts: Vec<&str> = server.hosts.iter().map(|host| host.as_str()).collect();
                let place = port.and_then(|port| port.number.span());
                child(number, hosts.join(", "), SymbolKind::Server, server.span, place)
            })
            .collect(),
        Spec::Workload(template) => template
            .spec
            .get()
            .into_iter()
            .flat_map(|spec| spec.containers.iter())
            .map(|container| {
                let (name, image) = (container.name.text().to_owned(), container.image.text().to_owned());
                child(name, image, SymbolKind::Container, container.span, container.name.span())
            })
            .collect(),
        _ => Vec::new(),
    };
    // Clients refuse symbols without a name.
    let named = |mut symbol: Symbol| {
        if symbol.name.is_empty() {
            symbol.name = "(unnamed)".to_owned();
        }
        symbol
    };
    Symbol {
        name: format!("{} {name}", resource.kind.value).trim_end().to_owned(),
        detail: resource.namespace().to_owned(),
        kind: SymbolKind::Object,
        span: resource.span,
        name_span: resource.name.span,
        children: children.into_iter().map(named).collect(),
    }
}
