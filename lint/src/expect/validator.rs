//! Tests of istio-config-validator (`testCases`): which rule of which VirtualService takes a request, and whether parts
//! of that rule are as written. Compares manifests' text, as that tool does, and follows no request.

use serde_json::Value;

use super::coverage;
use super::parse::{Reader, first};
use super::{Ask, Case, Failure, Line};
use crate::mesh::Mesh;
use crate::route::{Bare, Rule, by_host};
use crate::span::{Span, Spanned};
use crate::yaml::{Document, NodeRef, from_node};

/// Keys of a test case; `step` is ours.
pub(super) const CASE: [&str; 11] = [
    "description",
    "wantMatch",
    "request",
    "route",
    "redirect",
    "rewrite",
    "fault",
    "headers",
    "delegate",
    "mirror",
    "step",
];
const REQUEST: [&str; 4] = ["authority", "method", "uri", "headers"];
/// Keys whose value is compared with the rule's.
const COMPARED: [&str; 7] = ["route", "redirect", "rewrite", "fault", "headers", "delegate", "mirror"];

/// One test case.
#[derive(Clone, Debug)]
pub(super) struct TestCase {
    requests: Vec<Bare>,
    want_match: bool,
    /// What is compared: the key, its place and its value.
    wanted: Vec<(&'static str, Span, Value)>,
}

/// Reads the cases of a file.
pub(super) fn parse(reader: &mut Reader, root: NodeRef<'_>, list: NodeRef<'_>, cases: &mut Vec<Case>) {
    reader.mapping(root, "a file of test cases", &[&["testCases"]]);
    if !list.is_sequence() {
        reader.problem(list.span(), "`testCases` is a list");
        return;
    }
    for item in list.items() {
        cases.extend(case(reader, item));
    }
}

fn case(reader: &mut Reader, node: NodeRef<'_>) -> Option<Case> {
    if !reader.mapping(node, "a test case", &[&CASE]) {
        return None;
    }
    let name = match node.get("description") {
        Some(name) => reader.text(name, "description")?,
        None => Spanned { span: first(node), value: "without description".to_owned() },
    };
    // Absent is false, as in Go.
    let want_match = node.get("wantMatch").is_some_and(|node| reader.flag(node, "wantMatch"));
    let steps = node.get("step").map(|node| reader.texts(node, "step")).unwrap_or_default();
    let Some(request) = node.get("request") else {
        reader.problem(name.span, "a test case has a `request` with `authority`, `method` and `uri`");
        return None;
    };
    if !reader.mapping(request, "a request", &[&REQUEST]) {
        return None;
    }
    let mut lists = Vec::new();
    for key in ["authority", "method", "uri"] {
        match request.get(key) {
            Some(node) => lists.push(reader.texts(node, key)),
            None => {
                reader.problem(first(request), format!("the request has no `{key}`: a list of at least one"));
            }
        }
    }
    let headers = request.get("headers").filter(|node| !node.is_null());
    let headers = headers.map(|node| reader.pairs(node, "headers")).unwrap_or_default();
    let [authorities, methods, paths] = lists.as_slice() else { return None };
    let mut requests = Vec::new();
    for authority in authorities {
        for method in methods {
            for path in paths {
                requests.push(Bare {
                    authority: authority.value.clone(),
                    method: method.value.clone(),
                    path: path.value.clone(),
                    headers: headers.clone(),
                });
            }
        }
    }
    let mut wanted: Vec<(&'static str, Span, Value)> = Vec::new();
    for key in COMPARED {
        let Some((place, value)) = node.entry(key).filter(|(_, value)| !value.is_null()) else { continue };
        wanted.push((key, place.span(), json(value)));
    }
    if wanted.is_empty() {
        // The tool compares the destinations in any case: none are wanted.
        wanted.push(("route", name.span, Value::Null));
    }
    let ask = Ask::Validator(Box::new(TestCase { requests, want_match, wanted }));
    Some(Case { name, steps, ask })
}

/// The number of requests, and what is not as wanted.
pub(super) fn check(
    mesh: &Mesh<'_>,
    documents: &[Document],
    test: &TestCase,
    coverage: &mut coverage::Builder,
) -> (usize, Vec<Failure>) {
    let mut failures: Vec<Failure> = Vec::new();
    for request in &test.requests {
        let taken = by_host(mesh, request);
        let (root, leaf) = (taken.map(|taken| taken.root), taken.and_then(|taken| taken.leaf));
        for (_, rule) in root.into_iter().chain(leaf) {
            coverage.add_rule(rule.span);
        }
        for (key, span, wanted) in &test.wanted {
            // The delegate itself is the root's; everything else is of the rule that it leads to.
            let rule = if *key == "delegate" { root } else { leaf.or(root) };
            let field = rule.and_then(|(_, rule)| field(documents, rule.span, key));
            let has = field.map_or(Value::Null, json);
            if (has == *wanted) == test.want_match {
                continue;
            }
            if let Some(first) = failures.iter_mut().find(|failure| failure.span == *span) {
                first.others += 1;
                continue;
            }
            let not = if test.want_match { "" } else { "not " };
            let found = match &has {
                Value::Null if rule.is_none() => "no rule takes the request".to_owned(),
                Value::Null => format!("the rule has no `{key}`"),
                has => format!("{key} {has}"),
            };
            let headers: String =
                request.headers.iter().map(|(name, value)| format!(", {name}: {value}")).collect();
            let text = |(service, rule): Rule<'_, '_>| Line {
                text: super::target::name(&crate::rule::name_of(service.resource)),
                span: Some(rule.span),
            };
            failures.push(Failure {
                span: *span,
                expected: match wanted {
                    Value::Null => format!("{not}a rule without `{key}`"),
                    wanted => format!("{not}{key} {wanted}"),
                },
                found,
                request: format!("{} {}{}{headers}", request.method, request.authority, request.path),
                others: 0,
                way: root.into_iter().chain(leaf).map(text).collect(),
            });
        }
    }
    (test.requests.len(), failures)
}

/// A field of the rule at a place.
fn field<'d>(documents: &'d [Document], rule: Span, key: &str) -> Option<NodeRef<'d>> {
    let root = documents
        .iter()
        .filter(|document| document.file() == rule.file)
        .find_map(|document| document.root().filter(|root| root.span().contains(rule)))?;
    root.covering(rule).into_iter().find(|node| node.span() == rule && node.is_mapping())?.get(key)
}

/// The value without what Go's types cannot tell from absence: null, zero, empty.
fn json(node: NodeRef<'_>) -> Value {
    trimmed(from_node(node).unwrap_or(Value::Null))
}

fn trimmed(value: Value) -> Value {
    let is_zero = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(items) => items.is_empty(),
        // An empty message is present, unlike an empty map; Istio's rules have no maps where it would matter.
        Value::Object(_) => false,
    };
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(trimmed).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key, trimmed(value)));
            let mut fields: Vec<(String, Value)> = fields.filter(|(_, value)| !is_zero(value)).collect();
            // Messages print in one order.
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        other => other,
    }
}
