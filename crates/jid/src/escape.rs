//! XEP-0106 JID Escaping: characters that a localpart cannot have, written with a backslash.

const ESCAPED: [(char, &str); 10] = [
    (' ', "\\20"),
    ('"', "\\22"),
    ('&', "\\26"),
    ('\'', "\\27"),
    ('/', "\\2f"),
    (':', "\\3a"),
    ('<', "\\3c"),
    ('>', "\\3e"),
    ('@', "\\40"),
    ('\\', "\\5c"),
];

/// A text as a localpart (§3.2). A backslash is escaped only where it would be read as an escape (§4.3).
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        let known = ESCAPED.iter().find(|(plain, _)| *plain == character);
        match known {
            Some((_, escaped)) if character != '\\' || begins_escape(text.get(at..).unwrap_or_default()) => {
                out.push_str(escaped)
            }
            _ => out.push(character),
        }
    }
    out
}

/// What a localpart shows to a person (§3.3).
pub fn unescape(local: &str) -> String {
    let mut out = String::with_capacity(local.len());
    let mut rest = local;
    while let Some(character) = rest.chars().next() {
        let (shown, length) = match ESCAPED.iter().find(|(_, escaped)| rest.starts_with(escaped)) {
            Some((plain, escaped)) => (*plain, escaped.len()),
            None => (character, character.len_utf8()),
        };
        out.push(shown);
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

fn begins_escape(text: &str) -> bool {
    ESCAPED.iter().any(|(_, escaped)| text.starts_with(escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of §4.1 and §5.
    #[test]
    fn text_and_localpart_are_as_in_the_xep() {
        for (text, local) in [
            ("space cadet", "space\\20cadet"),
            ("call me \"ishmael\"", "call\\20me\\20\\22ishmael\\22"),
            ("at&t guy", "at\\26t\\20guy"),
            ("d'artagnan", "d\\27artagnan"),
            ("/.fanboy", "\\2f.fanboy"),
            ("::foo::", "\\3a\\3afoo\\3a\\3a"),
            ("<foo>", "\\3cfoo\\3e"),
            ("user@host", "user\\40host"),
            ("c:\\net", "c\\3a\\net"),
            ("c:\\cool stuff", "c\\3a\\cool\\20stuff"),
            ("c:\\5commas", "c\\3a\\5c5commas"),
        ] {
            assert_eq!(escape(text), local);
            assert_eq!(unescape(local), text);
        }
    }
}
