//! The page as HTML. Knows what is shown, not where it comes from.

use super::{Choice, Tally};

const TEMPLATE: &str = include_str!("page.html");

/// What is on the page.
pub(super) struct Page<'a> {
    pub version: &'a str,
    pub result: &'a str,
    pub tally: Tally,
    /// Whether the visitor has the flag; `None` when the page has no switch for it.
    pub feature_flag: Option<bool>,
    /// The page's pod, the analytics pod and the kind of store.
    pub details: Option<[&'a str; 3]>,
}

impl Page<'_> {
    pub(super) fn html(&self) -> String {
        let of = |choice: Choice| self.tally.of(choice).to_string();
        let flag = self.feature_flag.map_or_else(String::new, |is_set| {
            let (value, words) = if is_set { ("clear", "Clear") } else { ("set", "Set") };
            format!(
                r#"<form method="post"><button name="featureflag" value="{value}">{words} feature flag</button></form>"#
            )
        });
        let details = self.details.map_or_else(String::new, |names| {
            let [app, analytics, storage] = names.map(escape);
            format!("<footer>{app} → {analytics} → {storage}</footer>")
        });
        // Values last: what they hold is not looked at again.
        let parts = [
            ("{flag}", flag),
            ("{version}", escape(self.version)),
            ("{theme}", self.version.chars().take_while(char::is_ascii_digit).collect()),
            ("{cats}", of(Choice::Cats)),
            ("{dogs}", of(Choice::Dogs)),
            ("{share}", self.tally.percent(Choice::Cats).to_string()),
            ("{details}", details),
            ("{result}", escape(self.result)),
        ];
        parts.iter().fold(TEMPLATE.to_owned(), |page, (mark, value)| page.replace(mark, value))
    }
}

/// Text inside an element.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_cannot_become_markup() {
        let page = Page {
            version: "1.0",
            result: "<script>{dogs}",
            tally: Tally { cats: 1, dogs: 3 },
            feature_flag: None,
            details: None,
        };
        let html = page.html();
        assert!(html.contains("&lt;script&gt;{dogs}"), "{html}");
        assert!(!html.contains("featureflag"), "{html}");
    }

    #[test]
    fn the_switch_does_what_changes_something() {
        let switch = |feature_flag| {
            let tally = Tally::default();
            Page { version: "1.0", result: "", tally, feature_flag, details: None }.html()
        };
        assert!(switch(Some(false)).contains(r#"value="set">Set feature flag"#));
        assert!(switch(Some(true)).contains(r#"value="clear">Clear feature flag"#));
    }
}
