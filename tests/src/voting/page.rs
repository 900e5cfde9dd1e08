//! The page as HTML. Knows what is shown, not where it comes from.

use super::{Choice, Tally};

const TEMPLATE: &str = include_str!("page.html");

/// What is on the page.
pub(super) struct Page<'a> {
    pub version: &'a str,
    pub result: &'a str,
    pub tally: Tally,
    pub feature_flag: bool,
    /// The page's pod, the analytics pod and the kind of store.
    pub details: Option<[&'a str; 3]>,
}

impl Page<'_> {
    pub(super) fn html(&self) -> String {
        let of = |choice: Choice| self.tally.of(choice).to_string();
        let flag = if self.feature_flag { FLAG } else { "" };
        let details = self.details.map_or_else(String::new, |names| {
            let [app, analytics, storage] = names.map(escape);
            format!("<footer>{app} → {analytics} → {storage}</footer>")
        });
        // Values last: what they hold is not looked at again.
        let parts = [
            ("{flag}", flag.to_owned()),
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

const FLAG: &str = r#"<form method="post" class="flag">
      <button name="featureflag" value="set" class="on">Try version 2.0</button>
      <button name="featureflag" value="clear" class="off">Back to version 1.0</button>
    </form>"#;

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
            feature_flag: false,
            details: None,
        };
        let html = page.html();
        assert!(html.contains("&lt;script&gt;{dogs}"), "{html}");
        assert!(!html.contains("featureflag"), "{html}");
    }
}
