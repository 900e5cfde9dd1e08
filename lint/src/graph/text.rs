//! How wide a text is, at most, and how to shorten it. Widths are those of DejaVu Sans, the widest of the fonts that
//! browsers take for `sans-serif`: in any other there is air around a text, never an overlap.

/// Width in units of the font size.
fn advance(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '|' | '\'' => 0.30,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '.' | ',' | ':' | ';' | '!' | '/' | '-' | ' ' | '·' => {
            0.41
        }
        'I' | 'J' | '"' | '*' => 0.48,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '~' | '+' | '=' | '<' | '>' | '−' | '→' | '…' => 0.98,
        'A'..='Z' | '&' | '#' => 0.76,
        'a'..='z' | '0'..='9' | '_' | '?' | '$' => 0.64,
        c if c.is_ascii() => 0.7,
        // Greek and Cyrillic are no wider than capitals; what is beyond may be as wide as it is high.
        c if (c as u32) < 0x1100 => 0.8,
        _ => 1.1,
    }
}

/// Width in pixels.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(advance).sum::<f64>() * size
}

/// The text, or as much of its two ends as fits, with `…` between: names differ at their ends.
pub(super) fn fit(text: &str, size: f64, limit: f64) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if width(&clean, size) <= limit {
        return clean;
    }
    let chars: Vec<char> = clean.chars().collect();
    let mut room = limit - width("…", size);
    let (mut head, mut tail) = (0, 0);
    loop {
        let from_head = tail * 2 >= head;
        let next = if from_head { chars.get(head) } else { chars.get(chars.len() - 1 - tail) };
        let Some(next) = next.copied() else { break };
        room -= width(next.encode_utf8(&mut [0; 4]), size);
        if room < 0.0 || head + tail + 1 >= chars.len() {
            break;
        }
        if from_head {
            head += 1;
        } else {
            tail += 1;
        }
    }
    let ends = chars.iter().take(head).chain(['…'].iter()).chain(chars.iter().skip(chars.len() - tail));
    ends.collect()
}

/// The text in lines that fit, broken at spaces; a word that does not fit is shortened.
pub(super) fn wrap(text: &str, size: f64, limit: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word = fit(word, size, limit);
        match lines
            .last_mut()
            .filter(|line| width(line, size) + width(" ", size) + width(&word, size) <= limit)
        {
            Some(line) => {
                line.push(' ');
                line.push_str(&word);
            }
            None => lines.push(word),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_name_keeps_both_ends() {
        assert_eq!(fit("short", 10.0, 100.0), "short");
        let name = fit("a-very-long-deployment-name-2-0", 10.0, 100.0);
        assert!(name.starts_with("a-very") && name.contains('…') && name.ends_with("2-0"), "{name}");
    }

    #[test]
    fn a_long_text_is_broken_at_spaces() {
        assert_eq!(wrap("a or b", 10.0, 100.0), ["a or b"]);
        assert_eq!(wrap("cookie flag=on or x-user: qa", 10.0, 110.0), ["cookie flag=on or", "x-user: qa"]);
        assert!(wrap("a-word-that-does-not-fit b", 10.0, 60.0)[0].contains('…'));
    }

    proptest! {
        #[test]
        fn what_is_shortened_fits(text in ".{0,60}", limit in 20.0..200.0f64) {
            let fitted = fit(&text, 11.0, limit);
            prop_assert!(width(&fitted, 11.0) <= limit);
            for line in wrap(&text, 11.0, limit) {
                prop_assert!(width(&line, 11.0) <= limit);
            }
        }
    }
}
