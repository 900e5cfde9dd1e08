//! Text that goes into XML 1.0. Knows characters, no format.

/// Text between tags. Characters that XML cannot carry at all become U+FFFD.
pub(super) fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

/// The value of an attribute, where a parser would turn line ends and tabs into spaces.
pub(super) fn attribute(value: &str) -> String {
    text(value).replace('"', "&quot;").replace('\n', "&#10;").replace('\t', "&#9;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_carry_is_replaced() {
        assert_eq!(text("a<b>&\"\u{1}\n"), "a&lt;b&gt;&amp;\"\u{fffd}\n");
        assert_eq!(attribute("\"a\"\n\t"), "&quot;a&quot;&#10;&#9;");
    }
}
