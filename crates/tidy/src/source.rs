//! As much of Rust's lexical grammar as the rules need: comments, literals, calls of macros.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Code,
    Comment,
    Literal,
}

/// The source with one kind of part blanked; lines and columns stay where they are.
pub(crate) fn without(text: &str, blank: Part) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (part, length) = token(rest);
        let (taken, left) = rest.split_at(length);
        if part == blank {
            out.extend(taken.chars().map(|c| if c == '\n' { c } else { ' ' }));
        } else {
            out.push_str(taken);
        }
        rest = left;
    }
    out
}

/// What a non-empty text begins with, and how many bytes of it.
fn token(rest: &str) -> (Part, usize) {
    if rest.starts_with("//") {
        return (Part::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Part::Comment, block_comment(rest));
    }
    if let Some(length) = raw_string(rest) {
        return (Part::Literal, length);
    }
    if rest.starts_with('"') {
        return (Part::Literal, quoted(rest, '"'));
    }
    let mut chars = rest.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\''), Some('\\'), _) => (Part::Literal, quoted(rest, '\'')),
        (Some('\''), Some(c), Some('\'')) => (Part::Literal, 2 + c.len_utf8()),
        (Some(c), _, _) => (Part::Code, c.len_utf8()),
        (None, _, _) => (Part::Code, 0),
    }
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(left) = rest.get(at..).filter(|left| !left.is_empty()) {
        if left.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if left.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += left.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let body = after.trim_start_matches('#');
    let hashes = after.len() - body.len();
    let inside = body.strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(inside.find(&close).map_or(rest.len(), |end| 2 + hashes + end + close.len()))
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    rest.len()
}

/// A call of a macro, such as `warn!(%error, "no answer")`.
#[derive(Debug, PartialEq)]
pub(crate) struct Call<'a> {
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    /// Where the name begins.
    pub(crate) at: usize,
    pub(crate) arguments: Vec<&'a str>,
}

/// The calls of these macros, in the order of the source, which must be without comments.
pub(crate) fn calls<'a>(code: &'a str, names: &[&'a str]) -> Vec<Call<'a>> {
    let mut found = Vec::new();
    for &name in names {
        let opening = format!("{name}!(");
        for (at, _) in code.match_indices(&opening) {
            let (before, after) =
                (code.get(..at).unwrap_or(""), code.get(at + opening.len()..).unwrap_or(""));
            if !before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                let line = before.matches('\n').count() + 1;
                found.push(Call { name, line, at, arguments: arguments(after) });
            }
        }
    }
    found.sort_by_key(|call| call.at);
    found
}

/// Splits at the commas of the outermost level, up to the closing parenthesis.
fn arguments(after: &str) -> Vec<&str> {
    let (mut found, mut depth, mut start, mut at) = (Vec::new(), 0_usize, 0, 0);
    while let Some(left) = after.get(at..).filter(|left| !left.is_empty()) {
        let (part, length) = token(left);
        if part == Part::Code {
            match left.as_bytes().first() {
                Some(b'(' | b'[' | b'{') => depth += 1,
                Some(b')' | b']' | b'}') if depth == 0 => break,
                Some(b')' | b']' | b'}') => depth -= 1,
                Some(b',') if depth == 0 => {
                    found.extend(after.get(start..at));
                    start = at + 1;
                }
                _ => {}
            }
        }
        at += length;
    }
    found.extend(after.get(start..at));
    found.into_iter().map(str::trim).filter(|argument| !argument.is_empty()).collect()
}

/// The text of a string literal.
pub(crate) fn literal(argument: &str) -> Option<&str> {
    argument.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_told_from_strings() {
        let text = "a(\"// no\"); // yes\n/* x /* y */ z */ b('\"'); r#\"/* \" \"# c<'d>";

        assert_eq!(
            without(text, Part::Comment).split_whitespace().collect::<Vec<_>>(),
            ["a(\"//", "no\");", "b('\"');", "r#\"/*", "\"", "\"#", "c<'d>"]
        );
        assert_eq!(without(text, Part::Literal).lines().next(), Some("a(       ); // yes"));
    }

    #[test]
    fn a_call_is_split_at_its_own_commas_only() {
        let code = "x();\nwarn!(a = f(1, 2), \"one, (two\", [3, 4]);\nmy_warn!(no)";
        let found = calls(code, &["warn"]);

        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].line, found[0].arguments.as_slice()),
            (2, ["a = f(1, 2)", "\"one, (two\"", "[3, 4]"].as_slice())
        );
    }
}
