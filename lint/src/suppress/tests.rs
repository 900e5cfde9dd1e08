//! What a comment hides, and what is said of comments that hide nothing.

use crate::files::Files;
use crate::line_index::LineIndex;
use crate::linter::lint;
use crate::settings::Settings;

/// `rule:line` of every finding, counted from one, and how many are suppressed.
fn findings(text: &str, select: &[&str]) -> (Vec<String>, usize) {
    let mut files = Files::new();
    files.add("test.yaml", text);
    let settings =
        Settings { select: select.iter().map(|id| (*id).to_owned()).collect(), ..Settings::default() };
    let report = lint(&files, &settings);
    let index = LineIndex::new(text);
    let found = report.diagnostics.iter();
    let places = found.map(|found| format!("{}:{}", found.rule, index.line(found.span.start) + 1)).collect();
    (places, report.suppressed)
}

const OWN: [&str; 4] = ["wrong-type", "yaml-syntax", "unused-suppression", "invalid-suppression"];

#[track_caller]
fn check(text: &str, expected: &[&str], suppressed: usize) {
    let (found, hidden) = findings(text, &OWN);
    assert_eq!(found, expected, "{text}");
    assert_eq!(hidden, suppressed, "{text}");
}

/// A ConfigMap whose data lines 5 and 6 are wrong, with comments around the first.
fn config(above: &str, beside: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n{above}  one: 1{beside}\n  two: 2\n"
    )
}

#[test]
fn a_comment_hides_the_findings_of_its_own_line() {
    check(&config("", ""), &["wrong-type:5", "wrong-type:6"], 0);
    check(&config("", " # coalmine: ignore[wrong-type] read as text"), &["wrong-type:6"], 1);
}

#[test]
fn a_comment_on_its_own_line_hides_the_next_line_with_content() {
    let above = "  # coalmine: ignore[wrong-type] read as text\n";
    check(&config(above, ""), &["wrong-type:7"], 1);
    let more = format!("{above}  # and a further remark\n\n  # and one more\n");
    check(&config(&more, ""), &["wrong-type:10"], 1);
}

#[test]
fn two_comments_above_a_line_both_count() {
    let both =
        "  # coalmine: ignore[wrong-type] read as text\n  # coalmine: ignore[unknown-field] not here\n";
    check(&config(both, ""), &["wrong-type:8"], 1);
    let (found, _) = findings(&config(both, ""), &["wrong-type", "unknown-field", "unused-suppression"]);
    assert_eq!(found, ["unused-suppression:6", "wrong-type:8"]);
}

#[test]
fn one_comment_names_several_rules() {
    let text = config("", " # coalmine: ignore[ yaml-syntax , wrong-type ] read as text");
    check(&text, &["unused-suppression:5", "wrong-type:6"], 1);
}

#[test]
fn a_comment_above_the_document_hides_all_of_it_and_no_other() {
    let comment = "# coalmine: ignore[wrong-type] generated\n";
    let text = format!("{}---\n{comment}# more\n{}---\n{}", config("", ""), config("", ""), config("", ""));
    check(&text, &["wrong-type:5", "wrong-type:6", "wrong-type:21", "wrong-type:22"], 2);
}

#[test]
fn a_header_above_the_first_separator_belongs_to_the_first_document() {
    let header = "# Copyright\n# coalmine: ignore[wrong-type] generated\n---\n";
    let text = format!("{header}{}---\n{}", config("", ""), config("", ""));
    check(&text, &["wrong-type:15", "wrong-type:16"], 2);
}

#[test]
fn a_broken_document_can_be_hidden_too_and_hides_no_other() {
    let template = "# coalmine: ignore[yaml-syntax] rendered by Helm\na: [{{ .Values.x }\n";
    check(template, &[], 1);
    check(&format!("{template}---\nb: [1\n"), &["yaml-syntax:4"], 1);
}

#[test]
fn carriage_returns_change_nothing() {
    let text = config("  # coalmine: ignore[wrong-type] read as text\n  # more\n", "").replace('\n', "\r\n");
    check(&text, &["wrong-type:8"], 1);
}

#[test]
fn text_in_a_block_is_no_comment() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  script: |\n    \
                # coalmine: ignore[wrong-type] not a comment\n  one: 1\n";
    check(text, &["wrong-type:7"], 0);
}

#[test]
fn mistakes_in_a_comment_are_reported_and_hide_nothing() {
    let with = |comment: &str| config("", &format!(" # coalmine: {comment}"));
    for comment in
        ["ignore[wrong-type]", "ignore[wrong-type]   ", "ignore", "disable", "ignore wrong-type: why"]
    {
        check(&with(comment), &["wrong-type:5", "invalid-suppression:5", "wrong-type:6"], 0);
    }
    check(&with("ignore[wrong-typ] why"), &["wrong-type:5", "invalid-suppression:5", "wrong-type:6"], 0);
    check(&with("ignore[wrong-typ, wrong-type] why"), &["invalid-suppression:5", "wrong-type:6"], 1);
}

#[test]
fn a_wrong_id_is_marked_alone_and_corrected() {
    let text = "# coalmine: ignore[wrong-type, unknwon-subset] why\na: 1\n";
    let mut files = Files::new();
    files.add("test.yaml", text);
    let settings = Settings { select: vec!["invalid-suppression".to_owned()], ..Settings::default() };
    let report = lint(&files, &settings);
    let found = &report.diagnostics[0];
    assert_eq!(&text[found.span.range()], "unknwon-subset");
    assert_eq!(found.message, "there is no rule `unknwon-subset`");
    assert_eq!(found.help.as_deref(), Some("did you mean `unknown-subset`?"));
}

#[test]
fn a_suppression_of_a_rule_that_does_not_run_is_not_unused() {
    let text = "apiVersion: v1\nkind: Namespace # coalmine: ignore[wrong-type] why\nmetadata: {name: a}\n";
    check(text, &["unused-suppression:2"], 0);
    assert_eq!(findings(text, &["unused-suppression"]).0, [""; 0]);
    assert_eq!(findings(text, &["wrong-type"]).0, [""; 0]);
}

#[test]
fn the_annotations_of_the_peers_hide_what_their_codes_name() {
    let with = |key: &str, codes: &str| {
        config("", "").replace("{name: a}", &format!("{{name: a, annotations: {{{key}: \"{codes}\"}}}}"))
    };
    for key in ["galley.istio.io/analyze-suppress", "kiali.io/ignore-validations"] {
        for codes in ["IST0106", "IST0001, IST0106", "*"] {
            check(&with(key, codes), &[], 2);
        }
        check(&with(key, "IST0001"), &["wrong-type:5", "wrong-type:6"], 0);
    }
}

#[test]
fn an_annotation_covers_its_own_object_only() {
    let annotated = config("", "")
        .replace("{name: a}", "{name: a, annotations: {galley.istio.io/analyze-suppress: IST0106}}");
    let text = format!("{annotated}---\n{}", config("", ""));
    check(&text, &["wrong-type:12", "wrong-type:13"], 2);
}

/// An editor's buffer alone says nothing about routes that stand in other files.
#[test]
fn what_a_fragment_cannot_show_is_not_unused() {
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: reviews}\nspec:\n  \
                host: reviews\n  subsets:\n  # coalmine: ignore[orphaned-subset] the way back\n  - name: v1\n    \
                labels: {version: v1}\n";
    let rules = ["orphaned-subset", "unused-suppression"];
    assert_eq!(findings(rule, &rules).0, [""; 0]);
    let service =
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: reviews}\nspec: {ports: [{port: 80}]}\n";
    assert_eq!(findings(&format!("{rule}{service}"), &rules).0, ["unused-suppression:7"]);
}
