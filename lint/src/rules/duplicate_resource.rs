//! `duplicate-resource`

use std::collections::BTreeMap;

use crate::diagnostic::{Fix, Safety, Severity};
use crate::rule::{Check, Context, declare_rule};
use crate::yaml::{Document, NodeRef, delete_document};

declare_rule! {
    /// ## What it does
    /// Reports an object that is defined twice: the same group, kind, namespace and name.
    /// In a rollout, one command may replace what an earlier one applied; only one that defines an object twice
    /// is reported. Without a rollout, definitions in different files may be alternatives, so the finding is
    /// a warning there.
    ///
    /// ## Why it matters
    /// `kubectl apply` keeps the last one it reads and says nothing, so the order of files decides. The
    /// other definition looks as if it were in force.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 8080}]
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   selector: {app: voting-app, version: "2.0"}
    ///   ports: [{name: http, port: 8080}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 8080}]
    /// ```
    ///
    /// ## References
    /// - [Objects in Kubernetes](https://kubernetes.io/docs/concepts/overview/working-with-objects/names/)
    id: "duplicate-resource",
    severity: Error,
    category: Schema,
    fix: Safe,
    since: "0.1.0",
    upstream: ["IST0106"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let (documents, files, in_rollout) = (ctx.documents, ctx.files, ctx.in_rollout);
    for (later, earlier) in ctx.duplicates {
        // One file that a step applies twice is one definition.
        if later.span == earlier.span {
            continue;
        }
        let place = later.namespace.as_deref().map_or(String::new(), |ns| format!(" in namespace `{ns}`"));
        let same_file = later.span.file == earlier.span.file;
        let elsewhere =
            if same_file { String::new() } else { format!(" in `{}`", files.name(earlier.span.file)) };
        let message = format!("{}{place} is already defined{elsewhere}", later.describe());
        let equal = match (later.node(documents), earlier.node(documents)) {
            (Some(later), Some(earlier)) => equal(later, earlier, 0),
            _ => false,
        };
        let diagnostic = ctx.report(later, later.name.span, message);
        diagnostic.related(earlier.name.span, "the earlier definition");
        if !same_file && !in_rollout {
            diagnostic.severity(Severity::Warning);
        }
        if !equal {
            diagnostic
                .help("the two differ, and the last one applied wins: keep one, or give it another name");
            continue;
        }
        diagnostic.help("the two are equal: delete one");
        let own = documents.get(later.document).filter(|own| own.root().map(NodeRef::id) == Some(later.root));
        if let Some((own, edit)) = own.and_then(|own| Some((own, delete_document(own)?))) {
            let kept = documents.get(earlier.document);
            let safety = if loses_comments(own, kept) { Safety::Unsafe } else { Safety::Safe };
            diagnostic.fix(Fix {
                title: format!("delete the second {}", later.describe()),
                safety,
                edits: vec![edit],
            });
        }
    }
}

/// Whether a document has a comment that the other lacks.
fn loses_comments(deleted: &Document, kept: Option<&Document>) -> bool {
    let texts = |document: &Document| -> Vec<String> {
        let text = |span: &crate::Span| document.source().get(span.range()).unwrap_or("").trim().to_owned();
        document.comments().iter().map(text).collect()
    };
    let kept = kept.map(texts).unwrap_or_default();
    texts(deleted).iter().any(|comment| !kept.contains(comment))
}

/// Whether Kubernetes reads the same from both.
fn equal(a: NodeRef<'_>, b: NodeRef<'_>, depth: u8) -> bool {
    if depth > 100 {
        return false;
    }
    if a.is_mapping() && b.is_mapping() {
        let (a, b) = (fields(a), fields(b));
        return a.len() == b.len()
            && a.iter().zip(&b).all(|((ka, va), (kb, vb))| ka == kb && equal(*va, *vb, depth + 1));
    }
    if a.is_sequence() && b.is_sequence() {
        let (a, b): (Vec<_>, Vec<_>) = (a.items().collect(), b.items().collect());
        return a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| equal(*a, *b, depth + 1));
    }
    match (a.scalar(), b.scalar()) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

fn fields(node: NodeRef<'_>) -> BTreeMap<String, NodeRef<'_>> {
    node.entries().into_iter().map(|(key, value)| (key.key().into_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: a, namespace: x}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
";

    #[test]
    fn the_second_definition_is_reported_and_the_first_related() {
        check(
            &RULE,
            "
apiVersion: v1
kind: Service
metadata: {name: a, namespace: x}
#                ~ related: the earlier definition
---
kind: Service
apiVersion: v1
metadata: {name: a, namespace: x, labels: {b: c}}
#                ^ error: Service `a` in namespace `x` is already defined
",
        );
    }

    #[test]
    fn two_versions_of_one_group_are_one_object() {
        check(
            &RULE,
            "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a}
---
apiVersion: networking.istio.io/v1beta1
kind: Gateway
metadata: {name: a}
#                ^ error: Gateway `a` in namespace `default` is already defined
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: a}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a, namespace: other}
",
        );
    }

    #[test]
    fn files_without_a_rollout_may_be_alternatives() {
        let text = format!("#- one.yaml\n{SERVICE}#- two.yaml\n{}", SERVICE.replace("port: 80", "port: 81"));
        let found = run(&RULE, &text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Warning);
        assert_eq!(found[0].message, "Service `a` in namespace `x` is already defined in `one.yaml`");
        let step = format!("#! rollout: [{{name: a, actions: [{{apply: [one.yaml, two.yaml]}}]}}]\n{text}");
        assert_eq!(run(&RULE, &step)[0].severity, Severity::Error);
    }

    #[test]
    fn a_step_may_replace_what_an_earlier_one_applied_or_name_a_file_twice() {
        let files = format!("#- one.yaml\n{SERVICE}#- two.yaml\n{}", SERVICE.replace("port: 80", "port: 81"));
        check(&RULE, &format!("#! rollout: [one.yaml, two.yaml]\n{files}"));
        let twice = "#! rollout: [{name: a, actions: [{apply: [one.yaml]}, {apply: [one.yaml]}]}]\n";
        check(&RULE, &format!("{twice}#- one.yaml\n{SERVICE}"));
    }

    #[test]
    fn objects_without_a_name_are_not_one() {
        let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: a-}\n";
        check(&RULE, &format!("{job}---\n{job}"));
    }

    #[test]
    fn an_equal_document_is_deleted_with_its_separator() {
        let reordered = "kind: Service # the same\napiVersion: \"v1\"\nmetadata:\n  namespace: x\n  name: a\nspec:\n  \
                         selector: {app: a}\n  ports:\n  - port: 80\n    name: http\n";
        let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n";
        let before = format!("{SERVICE}---\n{}---\n{other}", reordered.replace(" # the same", ""));
        let after = format!("{SERVICE}---\n{other}");
        check_fix(&RULE, Safety::Safe, &before, &after);
        // Its comment is worth a second look.
        let commented = format!("{SERVICE}---\n{reordered}");
        assert_eq!(run(&RULE, &commented)[0].fix.as_ref().unwrap().safety, Safety::Unsafe);
    }

    #[test]
    fn what_differs_or_is_not_a_document_of_its_own_is_left_alone() {
        let differs = format!("{SERVICE}---\n{}", SERVICE.replace("port: 80", "port: \"80\""));
        assert_eq!(run(&RULE, &differs)[0].fix, None);
        let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- \
                    {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n";
        assert_eq!(run(&RULE, list)[0].fix, None);
        let only = format!("#- one.yaml\n{SERVICE}#- two.yaml\n{SERVICE}");
        assert_eq!(run(&RULE, &only)[0].fix, None);
    }
}
