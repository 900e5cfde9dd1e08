//! TypeScript declarations of the wire types, derived from them. Knows no format.

use std::fmt::Write as _;

use ts_rs::{Config, TS};

/// Declarations, in the order in which they are added.
#[derive(Default)]
pub struct Declarations {
    config: Config,
    text: String,
}

impl Declarations {
    /// Those of everything that the library prints as JSON.
    #[must_use]
    pub fn of_library() -> Self {
        let mut all = Self::default();
        crate::render::json::declare(&mut all);
        crate::render::graph::declare(&mut all);
        crate::render::route::declare(&mut all);
        crate::render::decide::declare(&mut all);
        all
    }

    /// Adds a type under its name for TypeScript.
    pub fn add<T: TS>(&mut self) {
        let (docs, declaration) = (T::docs().unwrap_or_default(), T::decl(&self.config));
        self.add_text(&docs, &declaration);
    }

    /// Adds a declaration with its comment.
    pub fn add_text(&mut self, docs: &str, declaration: &str) {
        for part in [tidy(docs), format!("export {}", tidy(declaration))] {
            if !part.is_empty() {
                let _ = writeln!(self.text, "{part}");
            }
        }
        self.text.push('\n');
    }

    /// All of them.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.trim_end()
    }
}

/// Comments of one line on one line, one field a line, indented.
fn tidy(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut depth = 0usize;
    for line in text.replace(", };", ",\n};").lines().map(str::trim) {
        depth = depth.saturating_sub(usize::from(line.starts_with('}')));
        let last = lines.last_mut();
        match last {
            Some(last) if line == "*/" && last.trim_start().starts_with("* ") => {
                let sentence = last.trim_start().trim_start_matches("* ").to_owned();
                let is_short = lines.iter().nth_back(1).is_some_and(|before| before.trim() == "/**");
                if is_short {
                    lines.truncate(lines.len() - 2);
                    lines.push(format!("{}/** {sentence} */", "  ".repeat(depth)));
                } else {
                    lines.push(format!("{} */", "  ".repeat(depth)));
                }
            }
            _ => {
                let indent = "  ".repeat(depth) + if line.starts_with('*') { " " } else { "" };
                lines.push(format!("{indent}{line}"));
            }
        }
        depth += usize::from(line.ends_with('{'));
    }
    lines.join("\n")
}
