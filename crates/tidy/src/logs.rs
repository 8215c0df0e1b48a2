//! How log messages read: lower case, no full stop; values are fields.

use crate::{
    File, Findings,
    source::{Part, calls, literal, without},
};

const LEVELS: [&str; 5] = ["debug", "error", "info", "trace", "warn"];

/// A message begins in lower case (a name such as TLS may begin it) and does not end with a full stop.
pub fn log_style(files: &[File]) -> Findings {
    let mut found = Findings::new();
    for file in files.iter().filter(|file| file.is_source()) {
        for call in calls(&without(&file.text, Part::Comment), &LEVELS) {
            let message = call.arguments.iter().find_map(|argument| literal(argument));
            if let Some(what) = message.and_then(wrong) {
                found.push(format!("{}:{}: a log message {what}", file.path, call.line));
            }
        }
    }
    found
}

fn wrong(message: &str) -> Option<&'static str> {
    let first = message.split_whitespace().next().unwrap_or("");
    let is_name = first.chars().filter(|c| c.is_uppercase()).count() > 1;
    if first.starts_with(char::is_uppercase) && !is_name {
        Some("begins in upper case")
    } else if message.ends_with('.') {
        Some("ends with a full stop")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    #[test]
    fn upper_case_and_full_stops_are_found() {
        let text = "//! A.\nwarn!(%error, \"No answer\");\ntracing::info!(\"it works.\");\ndebug!(\"TLS is up\");\nerror!(x = \"Y\", \"lost\");";

        assert_eq!(
            log_style(&[file("crates/a/src/a.rs", text)]),
            [
                "crates/a/src/a.rs:2: a log message begins in upper case",
                "crates/a/src/a.rs:3: a log message ends with a full stop"
            ]
        );
    }
}
