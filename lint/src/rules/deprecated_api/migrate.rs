//! An authentication Policy as the PeerAuthentication that means the same, by splices that leave comments
//! and everything else where it is.

use crate::diagnostic::Edit;
use crate::mesh::Mesh;
use crate::mesh::registry::{Host, Origin};
use crate::resource::Resource;
use crate::span::Span;
use crate::yaml::{Document, NodeRef};

type Migration<T> = Result<T, String>;

const TOKENS: &str = "its tokens (`origins`, `jwt`) become a RequestAuthentication and an AuthorizationPolicy that \
                      requires one, which is more than a rewrite";
const SHAPE: &str = "it is written in a way that only a person can rewrite";

/// The edits that turn a Policy or MeshPolicy into a PeerAuthentication, or why there are none.
pub(super) fn to_peer_authentication(
    mesh: &Mesh<'_>,
    resource: &Resource,
    root: NodeRef<'_>,
) -> Migration<Vec<Edit>> {
    let root_namespace = mesh.config.root_namespace.as_str();
    let is_mesh = resource.kind.value == "MeshPolicy";
    let spec = root.get("spec").ok_or("without `peers` it asks for no mTLS, which is `mode: DISABLE` now")?;
    if let Some((key, _)) = spec.entries().iter().find(|(key, _)| !matches!(&*key.key(), "peers" | "targets"))
    {
        return Err(match &*key.key() {
            "origins" | "originIsOptional" | "principalBinding" => TOKENS.to_owned(),
            other => format!("`{other}` has no counterpart there"),
        });
    }
    let mode = mode(spec)?;
    let mut edits = Vec::new();
    edits.push(replace_scalar(root, "apiVersion", "security.istio.io/v1").ok_or(SHAPE)?);
    edits.push(replace_scalar(root, "kind", "PeerAuthentication").ok_or(SHAPE)?);
    if is_mesh {
        edits.push(namespace(root, resource, root_namespace)?);
    } else if resource.namespace() == root_namespace {
        return Err(format!(
            "in the root namespace `{root_namespace}` a PeerAuthentication is for the whole mesh or is ignored"
        ));
    }
    let peers = spec.entry("peers").ok_or(SHAPE)?;
    edits.extend(mtls(root.document(), spec, peers, mode)?);
    if let Some(targets) = spec.entry("targets").filter(|(_, targets)| !targets.is_null()) {
        let labels = target(mesh, resource, targets.1)?;
        edits.extend(single_item(
            root.document(),
            spec,
            targets,
            "selector",
            &format!("matchLabels: {{{labels}}}"),
        )?);
    }
    Ok(edits)
}

/// Replaces the scalar under a key.
pub(super) fn replace_scalar(node: NodeRef<'_>, key: &str, text: &str) -> Option<Edit> {
    let value = node.get(key).filter(|value| !value.is_alias() && value.scalar().is_some())?;
    Some(Edit { span: value.span(), text: text.to_owned() })
}

/// The mode that `peers` asks for. mTLS without a mode was strict.
fn mode(spec: NodeRef<'_>) -> Migration<&'static str> {
    let peers: Vec<NodeRef<'_>> = spec.get("peers").map(|peers| peers.items().collect()).unwrap_or_default();
    let [peer] = peers.as_slice() else {
        return Err(match peers.len() {
            0 => "without `peers` it asks for no mTLS, which is `mode: DISABLE` now".to_owned(),
            _ => "it has several `peers`, and PeerAuthentication has one `mtls`".to_owned(),
        });
    };
    if peer.entry("jwt").is_some() {
        return Err(TOKENS.to_owned());
    }
    let entries = peer.entries();
    let [(key, value)] = entries.as_slice() else { return Err(SHAPE.to_owned()) };
    if key.key() != "mtls" {
        return Err(SHAPE.to_owned());
    }
    if let Some((key, _)) = value.entries().iter().find(|(key, _)| key.key() != "mode") {
        return Err(format!("`mtls.{}` has no counterpart there", key.key()));
    }
    match value.entry("mode").map(|(_, mode)| mode.text()) {
        None | Some(Some("STRICT")) => Ok("STRICT"),
        Some(Some("PERMISSIVE")) => Ok("PERMISSIVE"),
        Some(_) => Err(SHAPE.to_owned()),
    }
}

/// The labels of the one Service that a Policy targets.
fn target(mesh: &Mesh<'_>, resource: &Resource, targets: NodeRef<'_>) -> Migration<String> {
    let items: Vec<NodeRef<'_>> = targets.items().collect();
    let [item] = items.as_slice() else {
        return Err("it has several targets, and each needs a PeerAuthentication of its own".to_owned());
    };
    if item.entry("ports").is_some() {
        return Err(
            "its target names ports, which become `portLevelMtls` with the container's ports".to_owned()
        );
    }
    let name =
        item.get("name").and_then(NodeRef::as_str).filter(|_| item.entries().len() == 1).ok_or(SHAPE)?;
    let fqdn = format!("{name}.{}.svc.{}", resource.namespace(), mesh.config.domain);
    let selector = |host: &Host<'_>| match host.origin {
        Origin::Service(service) if host.selects_pods() => {
            let pairs: Vec<String> = service
                .selector
                .iter()
                .map(|(key, value)| format!("{}: {}", plain(key), plain(value)))
                .collect();
            Some(pairs.join(", "))
        }
        _ => None,
    };
    mesh.registry.named(&fqdn).find_map(selector).ok_or_else(|| {
        format!(
            "its target becomes a `selector` with the labels of Service `{name}`, which is not in the input"
        )
    })
}

/// A label as YAML that Kubernetes reads as text.
fn plain(text: &str) -> String {
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !words.contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { format!("\"{text}\"") }
}

/// Adds the root namespace to a MeshPolicy, which had none.
fn namespace(root: NodeRef<'_>, resource: &Resource, namespace: &str) -> Migration<Edit> {
    if resource.namespace_span.is_some() {
        return Err(format!("it becomes a PeerAuthentication in the root namespace, `{namespace}`"));
    }
    let metadata = root.get("metadata").filter(|metadata| !metadata.is_alias()).ok_or(SHAPE)?;
    let (key, value) = metadata.entry("name").ok_or(SHAPE)?;
    let text = root.document().source();
    let end = value.span().range().end;
    let (at, added) = if metadata.is_flow() {
        (end, format!(", namespace: {namespace}"))
    } else {
        let line = text.get(end..).ok_or(SHAPE)?.lines().next().unwrap_or("");
        let indent = " ".repeat(column(text, key.span().range().start));
        (end + line.len(), format!("{}{indent}namespace: {namespace}", newline(text)))
    };
    edit(root.document(), at, at, added)
}

/// `peers: [mtls: …]` as `mtls: …`.
fn mtls(
    document: &Document,
    spec: NodeRef<'_>,
    peers: (NodeRef<'_>, NodeRef<'_>),
    mode: &str,
) -> Migration<Vec<Edit>> {
    let value = peers.1.items().next().and_then(|peer| Some((peer, peer.entry("mtls")?)));
    let Some((peer, (key, value))) = value else { return Err(SHAPE.to_owned()) };
    let block = [spec, peers.1, peer, value].iter().all(|node| !node.is_flow()) && value.is_mapping();
    if !block {
        return single_item(document, spec, peers, "mtls", &format!("mode: {mode}"));
    }
    // The mode stands on lines of its own: they move up one level, and `- mtls:` goes.
    let text = document.source();
    let (mode_key, mode_value) = value.entry("mode").ok_or(SHAPE)?;
    let (dash, indent) = dash(text, peers.0, peer)?;
    let colon = colon(text, key.span().range().end)?;
    let line_start = start_of_line(text, dash);
    let line_end = colon + text.get(colon..).ok_or(SHAPE)?.find('\n').ok_or(SHAPE)? + 1;
    let rest = text.get(colon..line_end).ok_or(SHAPE)?;
    let mut edits = vec![edit_of(peers.0.span(), "mtls")];
    if rest.trim().is_empty() {
        edits.push(edit(document, line_start, line_end, String::new())?);
    } else {
        let comment = colon + rest.len() - rest.trim_start().len();
        edits.push(edit(document, line_start, comment, " ".repeat(indent))?);
    }
    let shift = column(text, mode_key.span().range().start).saturating_sub(indent);
    let mut position = line_end;
    for line in text.get(line_end..mode_value.span().range().end).ok_or(SHAPE)?.split_inclusive('\n') {
        let leading = line.len() - line.trim_start_matches(' ').len();
        if shift > 0 && leading > 0 {
            edits.push(edit(document, position, position + leading.min(shift), String::new())?);
        }
        position += line.len();
    }
    Ok(edits)
}

/// A list of one item as a mapping of one entry under another key: comments beside and between stay.
fn single_item(
    document: &Document,
    parent: NodeRef<'_>,
    (key, value): (NodeRef<'_>, NodeRef<'_>),
    new_key: &str,
    entry: &str,
) -> Migration<Vec<Edit>> {
    let text = document.source();
    let commented = |start: usize, end: usize| {
        document
            .comments()
            .iter()
            .any(|comment| comment.range().start >= start && comment.range().start < end)
    };
    let item = value.items().next().filter(|item| !item.is_alias() && !value.is_alias()).ok_or(SHAPE)?;
    if parent.is_flow() || value.is_flow() {
        let (start, end) = (key.span().range().start, value.span().range().end);
        if commented(start, end) {
            return Err(SHAPE.to_owned());
        }
        return Ok(vec![edit(document, start, end, format!("{new_key}: {{{entry}}}"))?]);
    }
    let (dash, indent) = dash(text, key, item)?;
    let end = match item.entries().last() {
        Some((last, value)) if !item.is_flow() && value.is_empty_text() => {
            colon(text, last.span().range().end)?
        }
        Some((_, value)) if !item.is_flow() => value.span().range().end,
        _ => item.span().range().end,
    };
    if commented(dash, end) {
        return Err(SHAPE.to_owned());
    }
    let pad = " ".repeat(indent.saturating_sub(column(text, dash)));
    Ok(vec![edit_of(key.span(), new_key), edit(document, dash, end, format!("{pad}{entry}"))?])
}

/// The `-` of the first item of a block list, and the column for what replaces it.
fn dash(text: &str, key: NodeRef<'_>, item: NodeRef<'_>) -> Migration<(usize, usize)> {
    let start = item.span().range().start;
    let line = start_of_line(text, start);
    let dash = text.get(line..start).and_then(|before| before.rfind('-')).ok_or(SHAPE)? + line;
    let key_column = column(text, key.span().range().start);
    Ok((dash, column(text, dash).max(key_column + 2)))
}

/// One past the `:` after a key.
fn colon(text: &str, key_end: usize) -> Migration<usize> {
    let colon = text.get(key_end..).and_then(|rest| rest.find(':')).ok_or(SHAPE)?;
    Ok(key_end + colon + 1)
}

fn start_of_line(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

fn column(text: &str, at: usize) -> usize {
    at - start_of_line(text, at)
}

fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn edit_of(span: Span, text: &str) -> Edit {
    Edit { span, text: text.to_owned() }
}

fn edit(document: &Document, start: usize, end: usize, text: String) -> Migration<Edit> {
    let offset = |at: usize| u32::try_from(at).map_err(|_| SHAPE.to_owned());
    Ok(Edit { span: Span::new(document.file(), offset(start)?, offset(end)?), text })
}
