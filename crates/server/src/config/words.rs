//! What the readers of TOML and of its values say, in words for whoever wrote the file.

/// The message of an error, understood by somebody who knows no Rust. `key` is the last part of the key's path.
pub(super) fn plain(message: &str, key: Option<&str>) -> String {
    let message = message.trim();
    if let Some(key) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return format!("the key `{key}` is missing here");
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return one_of(rest).unwrap_or_else(|| message.to_owned());
    }
    if message.starts_with("invalid socket address") {
        return format!("must be {ADDRESS}");
    }
    let found = ["invalid type: ", "invalid value: "].iter().find_map(|start| message.strip_prefix(start));
    match found.and_then(|found| found.rsplit_once(", expected ")) {
        Some((found, expected)) => format!("must be {}, not {}", wanted(expected, key), shown(found)),
        None => message.to_owned(),
    }
}

const ADDRESS: &str = "an address and a port, such as 127.0.0.1:5222 or [::]:5222";

/// What a value must be.
fn wanted(expected: &str, key: Option<&str>) -> String {
    let bytes = if key.is_some_and(|key| key.contains("bytes")) { " of bytes" } else { "" };
    let most = match expected {
        "u8" => Some(u64::from(u8::MAX)),
        "u16" => Some(u64::from(u16::MAX)),
        "u32" => Some(u64::from(u32::MAX)),
        "u64" | "usize" => None,
        "a duration" => {
            return "a time in quotes, such as \"30s\", \"5m\", \"1h 30m\" or \"365d\"".to_owned();
        }
        "a boolean" => return "true or false".to_owned(),
        "a string" | "a borrowed string" => return "text in quotes".to_owned(),
        "path string" => return "a path in quotes".to_owned(),
        "a sequence" => return "a list in brackets".to_owned(),
        other if other.contains("socket address") => return ADDRESS.to_owned(),
        other if other == "a map" || other.starts_with("struct ") => {
            return "a section, with keys of its own".to_owned();
        }
        other => return other.to_owned(),
    };
    match most {
        None => format!("a whole number{bytes}, 0 or more"),
        Some(most) => format!("a whole number{bytes}, from 0 to {most}"),
    }
}

/// What stands there instead.
fn shown(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer", number)) => format!("the number {}", number.trim_matches('`')),
        Some(("floating", number)) => {
            format!("the number {}", number.trim_start_matches("point ").trim_matches('`'))
        }
        Some(("boolean", value)) => value.trim_matches('`').to_owned(),
        _ if found == "sequence" => "a list".to_owned(),
        _ if found == "map" => "a section".to_owned(),
        _ => found.to_owned(),
    }
}

/// Of "`x`, expected one of `a`, `b`".
fn one_of(rest: &str) -> Option<String> {
    let quoted: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let (wrong, known) = quoted.split_first()?;
    Some(format!("must be one of {}, not {wrong:?}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_wants_to_be_understood_by_programmers_alone() {
        for (message, key, words) in [
            (
                "invalid type: string \"many\", expected usize",
                Some("max-sessions"),
                "must be a whole number, 0 or more, not the text \"many\"",
            ),
            (
                "invalid value: integer `-1`, expected usize",
                Some("stanza-bytes"),
                "must be a whole number of bytes, 0 or more, not the number -1",
            ),
            (
                "invalid value: integer `4294967296`, expected u32",
                None,
                "must be a whole number, from 0 to 4294967295, not the number 4294967296",
            ),
            (
                "invalid type: floating point `1.5`, expected u64",
                None,
                "must be a whole number, 0 or more, not the number 1.5",
            ),
            (
                "invalid value: string \"soon\", expected a duration",
                None,
                "must be a time in quotes, such as \"30s\", \"5m\", \"1h 30m\" or \"365d\", not the text \"soon\"",
            ),
            (
                "invalid type: integer `3`, expected a boolean",
                None,
                "must be true or false, not the number 3",
            ),
            ("invalid type: boolean `true`, expected a string", None, "must be text in quotes, not true"),
            ("invalid type: map, expected a sequence", None, "must be a list in brackets, not a section"),
            (
                "invalid type: sequence, expected struct ListenConfig",
                None,
                "must be a section, with keys of its own, not a list",
            ),
            (
                "invalid socket address syntax",
                None,
                "must be an address and a port, such as 127.0.0.1:5222 or [::]:5222",
            ),
            (
                "unknown variant `loud`, expected one of `auto`, `human`, `json`",
                None,
                "must be one of auto, human, json, not \"loud\"",
            ),
            ("missing field `key`", None, "the key `key` is missing here"),
            ("must be at least 10", None, "must be at least 10"),
        ] {
            assert_eq!(plain(message, key), words);
        }
    }
}
