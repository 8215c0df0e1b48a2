//! Rules about the text of single files.

use crate::{
    File, Findings,
    source::{Part, without},
};

const MOST_LINES: usize = 500;

/// No file is longer than can be read in one sitting.
pub fn short_files(files: &[File]) -> Findings {
    let long = files.iter().filter(|file| file.is_rust()).map(|file| (file, file.text.lines().count()));
    long.filter(|&(_, lines)| lines > MOST_LINES)
        .map(|(file, lines)| format!("{}: {lines} lines, more than {MOST_LINES}", file.path))
        .collect()
}

/// A module says in its first line what it is for.
pub fn first_line_is_purpose(files: &[File]) -> Findings {
    let sources = files.iter().filter(|file| file.is_source());
    sources
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| format!("{}:1: the first line does not say what the file is for (`//! …`)", file.path))
        .collect()
}

/// A lint is switched off by `expect` with a reason, which complains when it is no longer needed.
pub fn no_bare_allow(files: &[File]) -> Findings {
    lines(files, Part::Literal, |line| {
        let attribute = line.trim_start();
        let is_attribute = attribute.starts_with("#[") || attribute.starts_with("#![");
        (is_attribute && attribute.contains("allow(")).then_some("`allow`: use `expect` with a reason")
    })
}

/// What is to be done stands in an issue.
pub fn no_todo(files: &[File]) -> Findings {
    lines(files, Part::Literal, |line| {
        let marks = ["TODO", "FIXME", "XXX"];
        let is_marked = line.split(|c: char| !c.is_alphanumeric()).any(|word| marks.contains(&word));
        is_marked.then_some("a note of what is to be done")
    })
}

/// A test runs or does not exist.
pub fn no_ignored_tests(files: &[File]) -> Findings {
    lines(files, Part::Comment, |line| line.trim_start().starts_with("#[ignore").then_some("an ignored test"))
}

fn lines(files: &[File], blank: Part, wrong: impl Fn(&str) -> Option<&'static str>) -> Findings {
    let mut found = Findings::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        for (number, line) in (1..).zip(without(&file.text, blank).lines()) {
            found.extend(wrong(line).map(|what| format!("{}:{number}: {what}", file.path)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    #[test]
    fn a_line_too_many_is_found() {
        let (fits, long) = ("x\n".repeat(500), "x\n".repeat(501));

        assert!(short_files(&[file("crates/a/src/lib.rs", &fits)]).is_empty());
        assert_eq!(
            short_files(&[file("crates/a/src/lib.rs", &long)]),
            ["crates/a/src/lib.rs: 501 lines, more than 500"]
        );
    }

    #[test]
    fn a_missing_purpose_is_found_in_sources_only() {
        let found = first_line_is_purpose(&[
            file("crates/a/src/one.rs", "use x;"),
            file("crates/a/src/two.rs", "//! Two.\n"),
            file("crates/a/tests/a.rs", "use x;"),
        ]);

        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/a/src/one.rs:1:"));
    }

    #[test]
    fn an_allow_is_found_also_in_cfg_attr_but_not_in_a_string() {
        let bad = "fn f() {}\n#[allow(dead_code)]\n#![cfg_attr(test, allow(unused))]\n";
        let good = "#[expect(dead_code, reason = \"allow(this)\")]\nlet x = \"#[allow(\";";

        assert_eq!(no_bare_allow(&[file("crates/a/src/a.rs", bad)]).len(), 2);
        assert!(no_bare_allow(&[file("crates/a/src/a.rs", good)]).is_empty());
    }

    #[test]
    fn a_note_in_a_comment_is_found() {
        let found =
            no_todo(&[file("crates/a/src/a.rs", "// TODO: later\nlet mastodon = \"TODO\";\n// mastodons\n")]);

        assert_eq!(found, ["crates/a/src/a.rs:1: a note of what is to be done"]);
    }

    #[test]
    fn an_ignored_test_is_found_with_and_without_reason() {
        let found = no_ignored_tests(&[file(
            "crates/a/tests/a.rs",
            "#[ignore]\nx\n  #[ignore = \"slow\"]\n// #[ignore]\n",
        )]);

        assert_eq!(found.len(), 2);
    }
}
