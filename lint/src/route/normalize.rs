//! The path as every HTTP proxy of the mesh sees it. Istio sets `normalize_path` unless the mesh configuration says
//! otherwise (`core/listener_builder.go`, `pathNormalization`), and Envoy then resolves dot segments and rewrites
//! escapes (`source/common/http/path_utility.cc`). Knows nothing of requests.

/// The normalized path; the query stays as it is.
pub(super) fn normalize(path: &str) -> String {
    let end = path.find('?').unwrap_or(path.len());
    let (bare, query) = path.split_at_checked(end).unwrap_or((path, ""));
    let escaped = rewrite_escapes(bare);
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = escaped.strip_prefix('/').unwrap_or(&escaped).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                // What a dot segment at the end leaves is a folder.
                if is_last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// Escapes that need not be are undone, characters that have no place in a path are escaped, `\` is `/`.
/// `%2F` and all others stay.
fn rewrite_escapes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path.chars();
    while let Some(character) = rest.next() {
        match character {
            '%' => match unreserved(rest.as_str()) {
                Some(plain) => {
                    out.push(plain);
                    rest.nth(1);
                }
                None => out.push('%'),
            },
            '\\' => out.push('/'),
            '"' | '<' | '>' | '^' | '`' | '{' | '|' | '}' => {
                out.push_str(&format!("%{:02X}", u32::from(character)));
            }
            other => out.push(other),
        }
    }
    out
}

/// What the two digits at the beginning stand for, if nobody need escape it.
fn unreserved(digits: &str) -> Option<char> {
    let digits = digits.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    let plain = char::from(u8::from_str_radix(digits, 16).ok()?);
    (plain.is_ascii_alphanumeric() || "-._~".contains(plain)).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn paths_become_what_envoy_makes_of_them() {
        for (path, normal) in [
            ("/", "/"),
            ("/a", "/a"),
            ("/.", "/"),
            ("/..", "/"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a/./", "/a/"),
            ("/a/../", "/"),
            ("/../a", "/a"),
            ("/a/../api", "/api"),
            ("/%2e/a", "/a"),
            ("/a/.%2E/b", "/b"),
            ("/a/%2e", "/a/"),
            ("//a//b", "//a//b"),
            ("/a//../b", "/a/b"),
            ("/..//a", "//a"),
            ("/a/..//b", "//b"),
            ("/a/...", "/a/..."),
            ("/a/b../c", "/a/b../c"),
            (r"/a\..\b", "/b"),
            ("/a;/../b", "/b"),
            ("/%61pi", "/api"),
            ("/x%2Dy%7e", "/x-y~"),
            ("/api%2Fv1", "/api%2Fv1"),
            ("/a%5c..%5cb", "/a%5c..%5cb"),
            ("/a|b", "/a%7Cb"),
            ("/a{b}", "/a%7Bb%7D"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%zz", "/%zz"),
            ("/a/b/%2e%2e?x=/../%61", "/a/?x=/../%61"),
            ("/a?x|y", "/a?x|y"),
        ] {
            assert_eq!(normalize(path), normal, "{path}");
        }
    }
}
