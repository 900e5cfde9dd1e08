//! What the layer promises: exact places, Kubernetes' reading, one broken document hiding no other, and an
//! answer in good time for any text. Values were compared with those of `sigs.k8s.io/yaml` v1.4.0. One file,
//! past 500 lines, because the promises are those of the layer as a whole.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::files::Files;
use crate::line_index::{ColumnUnit, LineIndex};
use crate::resource::field::{List, Map, Opt};

fn read(text: &str) -> (Vec<Document>, Vec<Problem>) {
    let mut files = Files::new();
    let id = files.add("test.yaml", text);
    parse(id, files.get(id).unwrap(), Limits::default())
}

/// The only document of a text without problems.
fn document(text: &str) -> Document {
    let (mut documents, problems) = read(text);
    assert!(problems.is_empty(), "{text:?}: {problems:?}");
    assert_eq!(documents.len(), 1, "{text:?}");
    documents.remove(0)
}

fn json(node: NodeRef<'_>) -> Value {
    if node.is_mapping() {
        return node
            .entries()
            .into_iter()
            .map(|(key, value)| (key.key().into_owned(), json(value)))
            .collect();
    }
    if node.is_sequence() {
        return node.items().map(json).collect();
    }
    match node.scalar() {
        None | Some(Scalar::Null) => Value::Null,
        Some(Scalar::Bool(value)) => value.into(),
        Some(Scalar::Int(value)) => value.into(),
        Some(Scalar::UInt(value)) => value.into(),
        Some(Scalar::Float(value)) => value.into(),
        Some(Scalar::Str(value)) => value.into(),
    }
}

#[track_caller]
fn reads(text: &str, expected: Value) {
    assert_eq!(json(document(text).root().unwrap()), expected, "{text:?}");
}

/// The source text of a node at a path; `@` in front asks for the key.
#[track_caller]
fn source_at<'d>(document: &'d Document, path: &str) -> &'d str {
    let mut node = document.root().unwrap();
    let mut key = node;
    for step in path.split('.').map(|step| step.trim_start_matches('@')) {
        match step.parse::<usize>() {
            Ok(index) => node = node.items().nth(index).unwrap(),
            Err(_) => (key, node) = node.entry(step).unwrap(),
        }
    }
    let chosen = if path.contains('@') { key } else { node };
    &document.source()[chosen.span().range()]
}

/// The first problem as `line:column width: message`, counted from one in characters.
fn first_problem(text: &str) -> Option<String> {
    let (_, problems) = read(text);
    let problem = problems.first()?;
    let index = LineIndex::new(text);
    let place = index.line_column(text, problem.span.start, ColumnUnit::Scalars);
    let width = problem.span.end - problem.span.start;
    Some(format!("{}:{} {width}: {}", place.line + 1, place.column + 1, problem.message))
}

#[track_caller]
fn refuses(text: &str, expected: &str) {
    let problem = first_problem(text).unwrap_or_else(|| panic!("{text:?} is accepted"));
    assert!(problem.starts_with(expected), "{text:?}\n  found {problem}\n  expected {expected}");
}

mod places {
    use super::*;

    #[test]
    fn keys_and_values_of_every_style_have_exact_spans() {
        let document = document(
            "plain: one two # not this\n\"double\" : \"a\\tb\"\n'single': 'it''s'\nflow: {a: [1, x y ], b: }\n\
             list:\n- first\n-   second  \n- k: v\n  l: w\nempty:\nnone: ~\n",
        );
        for (path, text) in [
            ("@plain", "plain"),
            ("plain", "one two"),
            ("@double", "\"double\""),
            ("double", "\"a\\tb\""),
            ("@single", "'single'"),
            ("single", "'it''s'"),
            ("flow", "{a: [1, x y ], b: }"),
            ("flow.a", "[1, x y ]"),
            ("flow.a.1", "x y"),
            ("flow.b", ""),
            ("list", "- first\n-   second  \n- k: v\n  l: w"),
            ("list.1", "second"),
            ("list.2", "k: v\n  l: w"),
            ("@list.2.l", "l"),
            ("empty", ""),
            ("none", "~"),
        ] {
            assert_eq!(source_at(&document, path), text, "{path}");
        }
    }

    #[test]
    fn block_scalars_start_at_their_content() {
        let document = document("a: |  # a comment\n  one\n  # text\n\nb: >-\n\n   two\n   three\nc: 1\n");
        assert!(source_at(&document, "a").starts_with("one\n  # text"));
        assert!(source_at(&document, "b").starts_with("two\n   three"));
        assert_eq!(json(document.root().unwrap()), json!({"a": "one\n# text\n", "b": "\ntwo three", "c": 1}));
        let comments: Vec<&str> = document.comments().iter().map(|c| &document.source()[c.range()]).collect();
        assert_eq!(comments, ["# a comment"], "text that looks like a comment is none");
    }

    #[test]
    fn comments_end_with_their_line_and_come_in_order() {
        let text =
            "# top\na: 1 # one\r\n  # own line\nb: 'x # y' #two\nc: [1, # in flow\n  2]\nd: x#y\n# end";
        let document = document(text);
        let comments: Vec<&str> = document.comments().iter().map(|c| &text[c.range()]).collect();
        assert_eq!(comments, ["# top", "# one", "# own line", "#two", "# in flow", "# end"]);
    }

    #[test]
    fn a_byte_order_mark_and_carriage_returns_move_nothing() {
        let text = "\u{feff}a: 1\r\nb:\r\n  - \"c\"\r\n  - d # e\r\n";
        let document = document(text);
        assert_eq!(source_at(&document, "@a"), "a");
        assert_eq!(source_at(&document, "a"), "1");
        assert_eq!(source_at(&document, "b.0"), "\"c\"");
        assert_eq!(source_at(&document, "b.1"), "d");
        let index = LineIndex::new(text);
        let start = document.root().unwrap().path(&["b"]).unwrap().items().next().unwrap().span().start;
        let place = index.line_column(text, start, ColumnUnit::Scalars);
        assert_eq!((place.line, place.column), (2, 4));
    }

    #[test]
    fn columns_count_characters_or_utf16_units_after_multi_byte_text() {
        let text = "a: {\"😀é\": ü, b: [x]}\n";
        let document = document(text);
        let b = document.root().unwrap().path(&["a", "b"]).unwrap();
        assert_eq!(&text[b.span().range()], "[x]");
        let index = LineIndex::new(text);
        assert_eq!(index.line_column(text, b.span().start, ColumnUnit::Scalars).column, 16);
        assert_eq!(index.line_column(text, b.span().start, ColumnUnit::Utf16).column, 17);
    }

    #[test]
    fn an_alias_stands_where_it_is_written_and_reads_as_its_anchor() {
        let document = document("a: &x {b: 1}\nc: *x\nd: [*x]\n");
        let c = document.root().unwrap().get("c").unwrap();
        assert!(c.is_alias() && c.is_mapping());
        assert_eq!(source_at(&document, "c"), "*x");
        assert_eq!(source_at(&document, "c.b"), "1");
        assert_eq!(source_at(&document, "a"), "{b: 1}", "the anchor is not part of the value");
    }

    #[test]
    fn a_place_leads_to_the_nodes_around_it() {
        let text = "a:\n  b: [x, yy]\n";
        let document = document(text);
        let at = u32::try_from(text.find("yy").unwrap()).unwrap();
        let chain = document.root().unwrap().covering(Span::new(document.file(), at, at + 1));
        let texts: Vec<&str> = chain.iter().map(|node| &text[node.span().range()]).collect();
        assert_eq!(texts, ["a:\n  b: [x, yy]", "b: [x, yy]", "[x, yy]", "yy"]);
    }
}

mod streams {
    use super::*;

    #[test]
    fn a_broken_document_hides_no_other() {
        let text = "a: 1\n---\nb: [1\n---\nc: \"x\n---\nd: 4\n";
        let (documents, problems) = read(text);
        let roots: Vec<Option<Value>> = documents.iter().map(|document| document.root().map(json)).collect();
        assert_eq!(roots, [Some(json!({"a": 1})), None, None, Some(json!({"d": 4}))]);
        assert_eq!(problems.len(), 2);
        assert_eq!(&text[problems[0].span.range()], "[");
    }

    #[test]
    fn empty_documents_are_no_mistake() {
        for text in ["", "\n", "# only a comment\n", "---\n", "---\n---\n", "\u{feff}", "   \n\n"] {
            let (documents, problems) = read(text);
            assert!(problems.is_empty(), "{text:?}: {problems:?}");
            assert!(documents.iter().all(|document| document.root().is_none()), "{text:?}");
        }
    }

    #[test]
    fn separators_count_only_at_the_start_of_a_line() {
        let (documents, problems) = read("a: |\n  ---\nb: '---'\n--- # next\nc: 1\n---\r\nd: 1\r\n");
        assert!(problems.is_empty(), "{problems:?}");
        let roots: Vec<Value> = documents.iter().filter_map(Document::root).map(json).collect();
        assert_eq!(roots, [json!({"a": "---\n", "b": "---"}), json!({"c": 1}), json!({"d": 1})]);
    }

    #[test]
    fn what_kubectl_drops_is_said() {
        refuses("--- {a: 1}\n", "1:5 6: `kubectl` ignores text on the same line as `---`");
        refuses("a: 1\n...\nb: 2\n", "3:1 0: `kubectl` ignores everything after `...`");
        reads("a: 1\n...\n", json!({"a": 1}));
    }

    #[test]
    fn anchors_end_with_their_document() {
        refuses(
            "a: &x 1\n---\nb: *x\n",
            "3:4 2: `*x` refers to an anchor that this document does not define",
        );
    }
}

mod reading {
    use super::*;

    #[test]
    fn merge_keys_go_by_the_order_of_the_text() {
        reads(
            "x: &x {a: 1, b: 2}\nz: {<<: *x, b: 3}\n",
            json!({"x": {"a": 1, "b": 2}, "z": {"a": 1, "b": 3}}),
        );
        let below = "x: &x {a: 1}\nz:\n  a: 2\n  <<: *x\n";
        reads(below, json!({"x": {"a": 1}, "z": {"a": 1}}));
        let root = document(below);
        let z = root.root().unwrap().get("z").unwrap();
        assert_eq!(z.get("a").and_then(NodeRef::scalar), Some(Scalar::Int(1)), "as `entry` sees it too");
        reads("z:\n  <<: [{a: 1}, {a: 2, b: 2}]\n  c: 3\n", json!({"z": {"a": 1, "b": 2, "c": 3}}));
        reads("z:\n  <<: {a: 1}\n  <<: {a: 2}\n", json!({"z": {"a": 2}}));
        reads(
            "x: &x {a: 1}\nw: &w {<<: *x, b: 2}\nz: {<<: *w, c: 3}\n",
            json!({"x": {"a": 1}, "w": {"a": 1, "b": 2}, "z": {"a": 1, "b": 2, "c": 3}}),
        );
    }

    #[test]
    fn only_a_plain_key_merges() {
        reads("z: {\"<<\": {a: 1}}\n", json!({"z": {"<<": {"a": 1}}}));
        reads("z: {!!str <<: {a: 1}}\n", json!({"z": {"<<": {"a": 1}}}));
        reads("z: {!!merge <<: {a: 1}}\n", json!({"z": {"a": 1}}));
        refuses("z:\n  <<: text\n", "2:7 4: `<<` takes a mapping, or a list of mappings");
        refuses("z:\n  <<:\n  a: 1\n", "2:3 2: `<<` takes");
        refuses("z:\n  <<: [{a: 1}, b]\n", "2:7 11: `<<` takes");
    }

    #[test]
    fn anchors_can_be_redefined_and_stand_on_anything() {
        reads("a: &x 1\nb: *x\nc: &x 2\nd: *x\n", json!({"a": 1, "b": 1, "c": 2, "d": 2}));
        reads("a: &x\nb: *x\n", json!({"a": null, "b": null}));
        reads("a: &x k\n*x : v\n", json!({"a": "k", "k": "v"}));
        refuses("a: &a [*a]\n", "1:8 2: the alias refers to a value that contains it");
        refuses("a: *x\nb: &x 1\n", "1:4 2: `*x` refers to an anchor");
        refuses("a: &a.b 1\nb: *a.b\n", "2:4 4: `a.b` is no name of an anchor for Kubernetes' parser");
    }

    #[test]
    fn keys_are_named_as_json_names_them() {
        reads(
            "on: 1\n0x10: 2\n1.50: 3\n1e23: 4\nn: 5\n",
            json!({"true": 1, "16": 2, "1.5": 3, "1e+23": 4, "false": 5}),
        );
        reads("1234567.0: a\n0.00001: b\n", json!({"1.234567e+06": "a", "1e-05": "b"}));
        refuses("~: 1\n", "1:1 1: a mapping key must not be null");
        refuses("a: {: 1}\n", "1:5 1: a mapping key must not be null");
        refuses("a: {{ .Values.x }}\n", "1:5 13: a mapping key must be a scalar");
        refuses("? [a]\n: 1\n", "1:3 3: a mapping key must be a scalar");
    }

    #[test]
    fn duplicates_keep_the_last_value_and_both_places() {
        let (documents, problems) = read("a: 1\nb: {c: 1, c: 2}\na: 3\n");
        assert_eq!(json(documents[0].root().unwrap()), json!({"a": 3, "b": {"c": 2}}));
        let places: Vec<_> = problems
            .iter()
            .map(|problem| (problem.kind, problem.span.start, problem.related.as_ref().unwrap().0.start))
            .collect();
        assert_eq!(places, [(ProblemKind::DuplicateKey, 15, 9), (ProblemKind::DuplicateKey, 21, 0)]);
    }

    #[test]
    fn addresses_in_brackets_stay_text_when_kubernetes_reads_text() {
        reads(
            "a: [2001:db8::, fe80::1, 2001:db8::/32]\n",
            json!({"a": ["2001:db8::", "fe80::1", "2001:db8::/32"]}),
        );
        reads("a: [b:, c]\n", json!({"a": ["b:", "c"]}));
        reads("a: [ fe80:: ]\n", json!({"a": [{"fe80:": null}]}));
        reads("a: [b: 1, {c: }]\n", json!({"a": [{"b": 1}, {"c": null}]}));
        reads("a:\n- ::1\n- fe80::1\n", json!({"a": ["::1", "fe80::1"]}));
        let brackets = document("a: [fe80::]\n");
        assert_eq!(source_at(&brackets, "a.0"), "fe80::");
        refuses(
            "a: [::1]\n",
            "1:5 3: `::1` starts with a colon, which Kubernetes' parser refuses inside brackets",
        );
    }

    #[test]
    fn block_scalars_keep_strip_and_fold() {
        reads("a: |-\n  x\n\n\nb: 1\n", json!({"a": "x", "b": 1}));
        reads("a: |+\n  x\n\n\nb: 1\n", json!({"a": "x\n\n\n", "b": 1}));
        reads("a: |2\n   x\n  y\n", json!({"a": " x\ny\n"}));
        reads("a: >\n  x\n   y\n\n  z\n", json!({"a": "x\n y\n\nz\n"}));
        reads("a: |\nb: 1\n", json!({"a": "", "b": 1}));
        reads("a: |\r\n  x\r\n  y\r\nb: 1\r\n", json!({"a": "x\ny\n", "b": 1}));
        reads("a: |\n  x", json!({"a": "x"}));
        reads("a: \"x\r\n  y\"\r\nb: 'it''s'\r\n", json!({"a": "x y", "b": "it's"}));
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_refused_or_text() {
        reads("a: [1e400, .1_0, ._1, 1_0]\n", json!({"a": ["1e400", 0.1, "._1", 10]}));
        refuses("a: .nan\n", "1:4 4: `.nan` is no number that JSON, and so Kubernetes, can hold");
        refuses("a: -.inf\n", "1:4 5: `-.inf` is no number");
        reads("a: '.nan'\n", json!({"a": ".nan"}));
    }

    #[test]
    fn tags_say_what_a_value_is() {
        reads(
            "a: !!str 1\nb: !!int \"3\"\nc: !own 1\nd: ! 1\ne: !!float 1\nf: !!bool \"yes\"\n",
            json!({"a": "1", "b": 3, "c": "1", "d": "1", "e": 1, "f": true}),
        );
        refuses("a: !!int x\n", "1:10 1: `x` is no value for the tag `!!int`");
        refuses("a: !!bool 1\n", "1:11 1: `1` is no value for the tag `!!bool`");
    }
}

mod stricter_than_the_parser {
    use super::*;

    const TAB: &str = "a tab where Kubernetes' parser wants spaces";

    #[test]
    fn tabs_that_indent_are_refused() {
        for (text, place) in [
            ("a:\n-\tb\n", "2:2"),
            ("a:\n- \tb\n", "2:3"),
            ("a:\n- -\tb\n", "2:4"),
            ("-\ta: 1\n  b: 2\n", "1:2"),
            ("a:\n\t\n  b: 1\n", "2:1"),
            ("a:\n\t# c\n  b: 1\n", "2:1"),
            ("a: 1\n\t\n", "2:1"),
            ("\t# c\na: 1\n", "1:1"),
            ("a:\n  \tb: 1\n", "2:3"),
            ("a: 'x'\n\t# c\n", "2:1"),
            ("a: |\n  x\n\t\nb: 1\n", "3:1"),
            ("a: |\n  \tx\nb: 1\n", "2:3"),
            ("a: |\n \t\n  x\n", "2:2"),
            ("a: 1\n---\nb:\n-\tc\n", "4:2"),
        ] {
            refuses(text, &format!("{place} 1: {TAB}"));
        }
    }

    #[test]
    fn tabs_elsewhere_are_white_space_or_text() {
        for text in [
            "a:\tb\n",
            "a: b\t\n",
            "a: b\t# c\n",
            "a:\t\n  b: 1\n",
            "a: [1,\n\t2]\n",
            "{\n\t\"a\": 1,\n\t\"b\": [\n\t\t2\n\t]\n}\n",
            "a: |\n  x\n  \ty\nb: 1\n",
            "a: |1\n \tx\n",
            "a: b\n  \tc\n",
            "a: \"b\n  \tc\"\n",
            "a: 'x\ty'\n# \tc\n",
        ] {
            assert_eq!(first_problem(text), None, "{text:?}");
        }
    }

    #[test]
    fn invisible_line_ends_are_refused() {
        refuses("a: b\u{2028}c\n", "1:5 3: the invisible character U+2028 ends the line for Kubernetes");
        refuses("# b\u{85}c\n", "1:4 2: the invisible character U+0085");
        assert_eq!(first_problem("a: \"b\u{2028}c\"\n# ü\n"), None);
    }

    #[test]
    fn escapes_of_json_alone_are_refused() {
        refuses("a: \"b\\/c\"\n", "1:6 2: Kubernetes' parser does not know this escape");
        refuses("a: \"\\ud83d\\ude00\"\n", "1:5 6: Kubernetes' parser does not know this escape");
        reads("a: \"\\\\/ \\u00e9 \\x41 \\U0001F600\"\n", json!({"a": "\\/ é A 😀"}));
    }

    #[test]
    fn a_key_in_braces_stands_on_one_line() {
        refuses("{a\n b: 1}\n", "1:2 4: a key inside braces must stand on one line");
        reads("{a: b\n c}\n", json!({"a": "b c"}));
    }

    #[test]
    fn mistakes_come_with_a_way_out() {
        let help = |text: &str| read(text).1.remove(0).help.unwrap_or_default();
        assert!(help("a:\n\tb: 1\n").contains("spaces"));
        assert!(help("a: {b: 1\n").contains("close it"));
        assert!(help("{{- if .Values.x }}\na: 1\n").contains("template"));
        assert!(help("a: {{ .Values.x }}\n").contains("quote it"));
    }
}

mod limits {
    use super::*;

    /// Reads a text and everything in it, in good time even without optimisation and on a busy machine.
    #[track_caller]
    fn in_time(text: &str) -> (Vec<Document>, Vec<Problem>) {
        let start = Instant::now();
        let (documents, problems) = read(text);
        for root in documents.iter().filter_map(Document::root) {
            let _ = json(root);
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        (documents, problems)
    }

    #[track_caller]
    fn is_refused(text: &str) {
        let (documents, problems) = in_time(text);
        assert_eq!(problems.first().map(|problem| problem.kind), Some(ProblemKind::Limits));
        assert!(documents[0].root().is_none());
    }

    fn bomb(levels: usize, body: impl Fn(usize) -> String) -> String {
        (1..levels).fold("l0: &l0 {a: 1}\n".to_owned(), |text, level| {
            format!("{text}l{level}: &l{level} {}\n", body(level - 1))
        })
    }

    #[test]
    fn alias_bombs_are_refused() {
        is_refused(&bomb(30, |below| format!("[*l{below}, *l{below}, *l{below}, *l{below}]")));
        is_refused(&bomb(60, |below| format!("{{x: *l{below}, y: *l{below}}}")));
        let flat = "a: &a [".to_owned() + &"1,".repeat(50_000) + "]\nb: [" + &"*a,".repeat(50_000) + "]\n";
        is_refused(&flat);
    }

    #[test]
    fn merge_bombs_are_refused() {
        is_refused(&bomb(60, |below| format!("{{<<: [*l{below}, *l{below}], k{below}: 1}}")));
        is_refused(&bomb(3_000, |below| format!("{{<<: *l{below}, k{below}: 1}}")));
    }

    #[test]
    fn a_chain_of_merges_within_the_limits_ends() {
        in_time(&bomb(400, |below| format!("{{<<: *l{below}, k{below}: 1}}")));
    }

    #[test]
    fn deep_nesting_is_refused_and_deep_enough_is_read() {
        is_refused(&"[".repeat(100_000));
        is_refused(&("[".repeat(1_000) + &"]".repeat(1_000)));
        is_refused(&"{a: ".repeat(10_000));
        is_refused(&"- ".repeat(10_000));
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(document(&deep).root().is_some());
        in_time(&(0..2_000).map(|level| " ".repeat(level) + "a:\n").collect::<String>());
    }

    #[test]
    fn long_lines_and_wide_mappings_are_read() {
        let line = "a: \"".to_owned() + &"x".repeat(1 << 20) + "\"\n";
        assert_eq!(in_time(&line).1.len(), 0);
        let wide: String = (0..100_000).map(|key| format!("key{key}: {key}\n")).collect();
        let (documents, problems) = in_time(&wide);
        assert_eq!(problems.len(), 0);
        assert_eq!(documents[0].root().unwrap().entries().len(), 100_000);
        let flow = "a: [".to_owned() + &"1, ".repeat(50_000) + "]\n";
        assert_eq!(in_time(&flow).1.len(), 0);
        let repeated = in_time(&"a: 1\n".repeat(20_000)).1.len();
        assert_eq!(repeated, 19_999);
    }

    #[test]
    fn many_comments_documents_and_tabs_are_read() {
        assert_eq!(in_time(&("# c\n".repeat(20_000) + "a: 1\n")).1.len(), 0);
        assert_eq!(in_time(&"a: 1\n---\n".repeat(10_000)).0.len(), 10_001);
        in_time(&("a:\n".to_owned() + &"-\tb\n".repeat(10_000)));
        in_time(&("a: [".to_owned() + &"::1, ".repeat(10_000) + "]\n"));
        in_time(&("a: ".to_owned() + &"\u{2028}".repeat(50_000)));
        in_time(&"a: |\n  \tx\n".repeat(5_000));
        in_time(&"? ".repeat(10_000));
        in_time(&("\"".to_owned() + &"\\/".repeat(200_000)));
    }
}

mod decoding {
    use super::*;

    #[derive(Default, serde::Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Model {
        name: Opt<String>,
        port: Opt<u32>,
        weight: Opt<i64>,
        flag: Opt<bool>,
        hosts: List<String>,
        labels: Map<String>,
        nested: Opt<Box<Model>>,
    }

    fn decode(text: &str) -> Model {
        from_node(document(text).root().unwrap()).unwrap()
    }

    #[test]
    fn scalars_of_the_wrong_type_are_still_seen() {
        let model = decode(
            "name: 1.0\nport: '8080'\nweight: \"50\"\nlabels: {version: 2.0, on: yes}\nhosts: [1, on]\n",
        );
        assert_eq!(model.name.text(), "1.0");
        assert_eq!(model.port.get(), Some(&8080));
        assert_eq!(model.weight.get(), Some(&50));
        assert_eq!(model.labels.text("version"), Some("2.0"));
        assert_eq!(model.labels.text("true"), Some("yes"), "the key is `true` for Kubernetes");
        let hosts: Vec<&str> = model.hosts.iter().map(|host| host.as_str()).collect();
        assert_eq!(hosts, ["1", "on"]);
    }

    #[test]
    fn a_wrong_neighbour_ends_nothing() {
        let model = decode(
            "name: [a]\nport: http\nhosts: {a: b}\nlabels: [a]\nflag: maybe\nunknown: {}\nnested: {name: b, port: -1}\n",
        );
        assert!(model.name.is_none() && model.port.is_none() && model.flag.is_none());
        assert!(model.hosts.is_empty() && model.labels.is_empty());
        assert_eq!(model.nested.get().unwrap().name.text(), "b");
        assert!(model.nested.get().unwrap().port.is_none());
        let hosts = decode("hosts: [a, {b: c}, ~, d]\n").hosts;
        assert_eq!(hosts.len(), 2);
    }

    #[test]
    fn null_is_absent() {
        let model = decode("name: ~\nport:\nhosts:\nlabels: null\nnested: {labels: {a: , b: c}}\n");
        assert!(model.name.is_none() && model.port.is_none());
        assert!(model.hosts.is_empty() && model.labels.is_empty());
        assert_eq!(model.nested.get().unwrap().labels.len(), 1);
    }

    #[test]
    fn aliases_and_merges_decode_with_the_place_of_the_text() {
        let text = "labels: &l {app: a}\nnested:\n  <<: {name: b}\n  labels: *l\n";
        let model = decode(text);
        let nested = model.nested.get().unwrap();
        assert_eq!(nested.name.text(), "b");
        let label = nested.labels.find("app").unwrap();
        assert_eq!(&text[label.span.range()], "a");
        assert!(label.span.start < 20, "where the anchor is");
    }
}
