use proptest::prelude::*;

use super::*;

fn full(regex: &str, text: &str) -> bool {
    Regex::parse(regex).unwrap_or_else(|e| panic!("{regex}: {e:?}")).is_full_match(text)
}

#[track_caller]
fn refused(regex: &str, part: &str, message: &str) {
    let error = Regex::parse(regex).expect_err(regex);
    assert_eq!(&regex[error.offset..error.offset + error.len], part, "{regex}: {error:?}");
    assert!(error.message.contains(message), "{regex}: {error:?}");
}

#[test]
fn the_whole_text_must_match() {
    assert!(full("a|bc", "bc"));
    assert!(!full("a|bc", "abc"));
    assert!(!full("a", "ab"));
    assert!(full("^a$", "a"));
    assert!(!full(".*", "a\nb"));
    assert!(full("(?s).*", "a\nb"));
    assert!(!full("a$", "a\n"));
}

#[test]
fn the_classic_cookie_regex_misses_the_space() {
    let classic = "^(.*?;)?(flag=on)(;.*)?$";
    assert!(full(classic, "flag=on") && full(classic, "a=b;flag=on") && !full(classic, "a=b; flag=on"));
    assert!(full("^(.*?; *)?(flag=on)(;.*)?$", "a=b; flag=on; c=d"));
}

/// Trap: the Rust `regex` crate reads these differently.
#[test]
fn rust_and_re2_differ_and_re2_counts() {
    // No set operators in classes: `&`, `-` and `~` are characters.
    assert!(full("[a&&b]", "&"));
    assert!(full("[a&&b]", "a"));
    assert!(full("[+--b]", "-") && full("[+--b]", ",") && full("[+--b]", "b"));
    assert!(full("[[a]", "["));
    assert!(full("[a~~b]", "~"));
    // ASCII classes.
    assert!(!full(r"\d", "٣") && full(r"\pN", "٣") && full(r"\d", "3"));
    assert!(!full(r"\w", "é") && full(r"\W", "é") && full(r"[^\W]", "a"));
    assert!(!full(r"\s", "\u{a0}") && !full(r"\s", "\x0b") && full("[[:space:]]", "\x0b"));
    // Quotation.
    assert!(full(r"\Qa.b*\E+", "a.b**") && full(r"\Q(", "("));
    // Escapes that only one of them knows.
    assert!(full(r"\_\:\/", "_:/") && full(r"\123", "S") && full(r"\x{41}\x42\a", "AB\x07"));
    assert!(full("(?P<a>x)(?<b>y)", "xy"));
    assert!(full("a{,3}", "a{,3}") && full("a{01}", "a{01}") && full("{", "{"));
    assert!(full("(?ii-i)A", "A") && full("(?)a", "a"));
    assert!(full(r"[\x{D800}a]", "a") && !full(r"\x{D800}", "a") && full(r"\p{^Greek}", "a"));
    assert!(full("[]a]", "]") && full("[^]a]", "b") && full("[a-]", "-"));
}

#[test]
fn what_re2_has_not_is_named_at_its_place() {
    refused("a(?=b)c", "(?=", "look-ahead");
    refused("(?<!a)b", "(?<!", "look-behind");
    refused(r"(a)\1", r"\1", "backreference");
    refused("a++", "++", "possessive");
    refused("a**", "**", "repeats a repetition");
    refused("(?>a)", "(?>", "no group that begins");
    refused("(?x)a", "(?x", "no group that begins");
    refused(r"a\Z", r"\Z", r"`\z`");
    refused(r"\h", r"\h", "no escape");
    refused(r"[\b]", r"\b", "backspace");
    refused(r"\p{greek}", r"\p{greek}", "no character group");
    refused(r"\p{Letter}", r"\p{Letter}", "no character group");
    refused("[[:word2:]]", "[:word2:]", "no character class");
    refused("[z-a]", "z-a", "backwards");
    refused("a{1001}", "{1001}", "1000");
    refused("(a{100}){100}", "{100}", "multiply");
    refused("a{3,2}", "{3,2}", "backwards");
    refused("*", "*", "nothing before");
    refused("a|*", "*", "nothing before");
    refused("(a", "(", "no closing `)`");
    refused("a)", ")", "closes no group");
    refused("[a", "[", "no closing `]`");
    refused("a\\", "\\", "lone backslash");
    refused("(?P<n>a)(?P<n>b)", "(?P<n>", "two groups");
    refused("", "", "empty");
    refused(&"a".repeat(1025), &"a".repeat(1025), "1025 bytes");
    assert!(Regex::parse(&"a".repeat(1024)).is_ok());
    assert!(Regex::parse("(a{10}){100}").is_ok());
}

#[test]
fn simple_regexes_have_a_shape() {
    let shape = |regex: &str| Regex::parse(regex).unwrap().shape().cloned();
    assert_eq!(shape("^/api$"), Some(Shape::Literal("/api".to_owned())));
    assert_eq!(shape(r"/a\.b.*"), Some(Shape::Prefix("/a.b".to_owned())));
    assert_eq!(shape(".*"), Some(Shape::Prefix(String::new())));
    for regex in ["a|b", "(?i)a", "(a)", "a+", ".*a", "a.+", "a.*b", "a?", "[a]", "a$b"] {
        assert_eq!(shape(regex), None, "{regex}");
    }
}

#[test]
fn runs_are_the_literal_parts() {
    let runs = |regex: &str| -> Vec<String> {
        Regex::parse(regex).unwrap().runs().iter().map(|run| run.text.clone()).collect()
    };
    assert_eq!(runs("^(.*?;)?(flag=on)(;.*)?$"), [";", "flag=on", ";"]);
    assert_eq!(runs("flag=(on|true)"), ["flag=", "on", "true"]);
    assert_eq!(runs("; ?flag=on"), [";", "flag=on"]);
    let open = Regex::parse("[a-z]*flag=on[^;]*").unwrap();
    assert_eq!(open.runs(), [Run { text: "flag=on".to_owned(), class_before: true, class_after: true }]);
    let dots = Regex::parse(".*flag=on.*").unwrap();
    assert_eq!(dots.runs(), [Run { text: "flag=on".to_owned(), ..Run::default() }]);
}

/// A run says whether the classes beside it can reach over a `;`.
#[test]
fn classes_know_whether_they_take_the_separator() {
    for class in [
        "[^;]",
        "[a-z]",
        r"\w",
        r"\D",
        r"\S",
        r"[\d]",
        r"[^\w]",
        "[[:punct:]]",
        "[[:^alpha:]]",
        "[^[:punct:]]",
        r"\pP",
        r"\PL",
        r"\p{Common}",
        r"\p{^Po}",
        r"\p{Any}",
        r"\p{Cs}",
        r"\P{Cs}",
        "[!-~]",
        "[;]",
        "[^a;]",
    ] {
        let regex = Regex::parse(&format!("a{class}")).unwrap();
        assert_eq!(regex.runs()[0].class_after, !full(class, ";"), "{class}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_errors_lie_inside(text in r"[a-c(){}\[\]\\|*+?.^$:;=<>!,&0-9PQEdpLéN\-]{0,40}") {
        match Regex::parse(&text) {
            Ok(regex) => {
                // What is accepted is understood: the translation compiles.
                prop_assert!(regex.is_full_match("a") || !regex.is_full_match("a"));
                prop_assert!(regex.program.get().unwrap().is_some() || text.contains('{'), "{}", regex.translated);
            }
            Err(error) => {
                prop_assert!(text.get(error.offset..error.offset + error.len).is_some());
                prop_assert!(!error.message.is_empty());
            }
        }
    }

    #[test]
    fn any_text_is_bounded(text in any::<String>()) {
        let _ = Regex::parse(&text).map(|regex| regex.is_full_match(&text));
    }

    #[test]
    fn quoted_text_matches_itself_alone(text in "[ -~]{1,30}") {
        prop_assume!(!text.contains(r"\E") && !text.ends_with('\\'));
        let regex = format!(r"\Q{text}\E");
        let longer = format!("{text}x");
        prop_assert!(full(&regex, &text));
        prop_assert!(!full(&regex, &longer));
    }
}
