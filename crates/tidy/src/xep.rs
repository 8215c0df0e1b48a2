//! One XEP, one file: named in its first line, listed in order, with a story.

use std::collections::BTreeSet;

use crate::{File, Findings};

/// Where a protocol has a file of its own, and the list it stands in.
const FOLDERS: [&str; 2] = ["crates/im/src/xep", "crates/stream/src/feature"];
const STORIES: &str = "crates/server/tests/stories";

/// What a file's first line says it does: `//! XEP-0280 Message Carbons: …` or `//! RFC 7395 …`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Protocol {
    /// `0280`; several if one file does several, none for an RFC alone.
    pub(crate) xeps: Vec<String>,
    /// The whole line.
    pub(crate) title: String,
    pub(crate) path: String,
}

impl Protocol {
    pub(crate) fn of(file: &File) -> Option<Self> {
        let title = file.text.lines().next()?.strip_prefix("//! ")?;
        let is_rfc =
            title.strip_prefix("RFC ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let xeps: Vec<String> =
            title.match_indices("XEP-").filter_map(|(at, _)| number(title.get(at + 4..)?)).collect();
        let has_xep = title.strip_prefix("XEP-").and_then(number).is_some();
        (is_rfc || has_xep).then(|| Self { xeps, title: title.to_owned(), path: file.path.clone() })
    }
}

/// What a file says of a XEP that its first line names: `//! Version 2.4 of XEP-0077: partial; no forms.`
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Support {
    /// `0077`
    pub(crate) xep: String,
    /// Of the document that the code follows.
    pub(crate) version: String,
    /// Or else partial.
    pub(crate) is_complete: bool,
    /// What lacks, or what is particular.
    pub(crate) note: String,
}

impl Support {
    /// All of a file, and lines that look like one and are none.
    pub(crate) fn of(file: &File) -> (Vec<Self>, Findings) {
        let (mut found, mut strange) = (Vec::new(), Findings::new());
        for (at, line) in file.text.lines().enumerate().take_while(|(_, line)| line.starts_with("//!")) {
            let Some(said) = line.strip_prefix("//! Version ") else { continue };
            match Self::read(said) {
                Some(support) => found.push(support),
                None => strange.push(format!(
                    "{}:{}: is not like `Version 1.0 of XEP-NNNN: partial; what lacks.`",
                    file.path,
                    at + 1
                )),
            }
        }
        (found, strange)
    }

    fn read(said: &str) -> Option<Self> {
        let (version, rest) = said.strip_suffix('.')?.split_once(" of XEP-")?;
        let (xep, rest) = (number(rest)?, rest.get(4..)?.strip_prefix(": ")?);
        let (status, note) = rest.split_once("; ").unwrap_or((rest, ""));
        let is_version = version.split('.').all(|part| part.parse::<u16>().is_ok());
        let is_complete = status == "complete";
        // What is partial says what lacks.
        let is_said = is_complete || (status == "partial" && !note.is_empty());
        let (version, note) = (version.to_owned(), note.to_owned());
        (is_version && is_said).then_some(Self { xep, version, is_complete, note })
    }
}

/// Each XEP that a first line names has its version and its completeness in one of those files, once.
pub fn xep_versions(files: &[File]) -> Findings {
    let mut found = Findings::new();
    let (mut named, mut said) = (BTreeSet::new(), Vec::new());
    for file in files.iter().filter(|file| file.is_source()) {
        let Some(protocol) = Protocol::of(file) else { continue };
        let (supports, strange) = Support::of(file);
        found.extend(strange);
        for Support { xep, .. } in &supports {
            if !protocol.xeps.contains(xep) {
                found.push(format!("{}: its first line does not name XEP-{xep}", file.path));
            }
        }
        named.extend(protocol.xeps);
        said.extend(supports.into_iter().map(|support| support.xep));
    }
    for xep in named {
        let times = said.iter().filter(|one| **one == xep).count();
        if times != 1 {
            found.push(format!("XEP-{xep}: {times} files say which version of it there is, not one"));
        }
    }
    found
}

fn number(rest: &str) -> Option<String> {
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (digits.len() == 4).then_some(digits)
}

/// The files of protocols say which they are, stand in the sorted list of their `mod.rs`, and have a story.
pub fn xep_lists(files: &[File]) -> Findings {
    FOLDERS.iter().flat_map(|folder| folder_findings(files, folder)).collect()
}

fn folder_findings(files: &[File], folder: &str) -> Findings {
    let mut found = Findings::new();
    let modules: Vec<(&str, &File)> =
        files.iter().filter_map(|file| Some((module(&file.path, folder)?, file))).collect();
    if modules.is_empty() {
        return found;
    }
    let list = [format!("{folder}/mod.rs"), format!("{folder}.rs")];
    let listed = match files.iter().find(|file| list.contains(&file.path)) {
        Some(file) => listed(&file.text),
        None => return vec![format!("{folder}: there is no mod.rs")],
    };
    if !listed.is_sorted() {
        found.push(format!("{folder}/mod.rs: the list is not sorted"));
    }
    for &(name, file) in &modules {
        if Protocol::of(file).is_none() {
            found
                .push(format!("{}:1: does not begin with `//! XEP-NNNN Title` or `//! RFC NNNN`", file.path));
        }
        if !listed.contains(&name) {
            found.push(format!("{}: is not listed in {folder}/mod.rs", file.path));
        }
        let story = format!("{STORIES}/{name}.rs");
        if !files.iter().any(|file| file.path == story) {
            found.push(format!("{}: has no story {story}", file.path));
        }
    }
    let there: BTreeSet<&str> = modules.iter().map(|&(name, _)| name).collect();
    let missing = listed.iter().filter(|name| !there.contains(*name));
    found.extend(missing.map(|name| format!("{folder}/mod.rs: `{name}` has no file")));
    found
}

/// `carbons` of `…/xep/carbons.rs` or `…/xep/carbons/mod.rs`.
fn module<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs")?;
    let name = rest.strip_suffix("/mod").unwrap_or(rest);
    (!name.contains('/') && !["mod", "tests"].contains(&name)).then_some(name)
}

/// The modules that a `mod.rs` declares, in its order; its own tests are none.
fn listed(text: &str) -> Vec<&str> {
    let lines = text.lines().filter_map(|line| {
        let visibility =
            ["pub(crate) ", "pub(super) ", "pub "].iter().find_map(|word| line.strip_prefix(word));
        visibility.unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';')
    });
    lines.filter(|name| *name != "tests").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    fn good() -> Vec<File> {
        vec![
            file(
                "crates/im/src/xep/mod.rs",
                "//! All.\npub mod carbons;\nmod ping;\n#[cfg(test)]\nmod tests;\n",
            ),
            file("crates/im/src/xep/carbons.rs", "//! XEP-0280 Message Carbons: copies.\n"),
            file("crates/im/src/xep/ping/mod.rs", "//! XEP-0199 XMPP Ping: an answer.\n"),
            file("crates/im/src/xep/ping/tests.rs", "//! Tests.\n"),
            file("crates/im/src/xep/tests.rs", "//! Tests.\n"),
            file("crates/server/tests/stories/carbons.rs", ""),
            file("crates/server/tests/stories/ping.rs", ""),
        ]
    }

    /// What is found once the file at `path` reads `text`, or is gone.
    fn after(path: &str, text: Option<&str>) -> Findings {
        let mut files = good();
        files.retain(|file| file.path != path);
        files.extend(text.map(|text| file(path, text)));
        xep_lists(&files)
    }

    #[test]
    fn a_tree_in_order_and_an_empty_tree_pass() {
        assert_eq!(xep_lists(&good()), Findings::new());
        assert_eq!(xep_lists(&[]), Findings::new());
    }

    #[test]
    fn a_file_that_does_not_say_its_number_is_found() {
        for text in ["//! Carbons.\n", "//! XEP-28 Carbons\n", "//! See XEP-0280.\n"] {
            assert_eq!(after("crates/im/src/xep/carbons.rs", Some(text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_list_out_of_order_is_found() {
        let found = after("crates/im/src/xep/mod.rs", Some("//! All.\nmod ping;\nmod carbons;\n"));

        assert_eq!(found, ["crates/im/src/xep/mod.rs: the list is not sorted"]);
    }

    #[test]
    fn a_file_that_is_not_listed_and_a_listed_one_that_is_missing_are_found() {
        assert_eq!(after("crates/im/src/xep/mod.rs", Some("//! All.\nmod carbons;\n")).len(), 1);
        assert_eq!(
            after("crates/im/src/xep/carbons.rs", None),
            ["crates/im/src/xep/mod.rs: `carbons` has no file"]
        );
    }

    #[test]
    fn a_missing_story_is_found() {
        assert_eq!(
            after("crates/server/tests/stories/ping.rs", None),
            ["crates/im/src/xep/ping/mod.rs: has no story crates/server/tests/stories/ping.rs"]
        );
    }

    #[test]
    fn a_version_is_said_once_by_a_file_that_names_the_xep() {
        let one = |text: &str| file("crates/im/src/xep/ping.rs", text);
        let good =
            "//! XEP-0199 XMPP Ping: an answer.\n//!\n//! Version 2.0.1 of XEP-0199: complete.\n\nuse x;\n";
        assert_eq!(xep_versions(&[one(good)]), Findings::new());
        assert_eq!(
            Support::of(&one(&good.replace("complete", "partial; s2c"))).0,
            [Support { xep: "0199".into(), version: "2.0.1".into(), is_complete: false, note: "s2c".into() }]
        );
        for (wrong, findings) in [
            (good.replace("//! Version 2.0.1 of XEP-0199: complete.\n", ""), 1),
            (good.replace("complete", "partial"), 2),
            (good.replace("2.0.1", "new"), 2),
            (good.replace("of XEP-0199", "of XEP-0198"), 2),
        ] {
            assert_eq!(xep_versions(&[one(&wrong)]).len(), findings, "{wrong}");
        }
        let twice = [one(good), file("crates/stream/src/feature/ping.rs", good)];
        assert_eq!(xep_versions(&twice), ["XEP-0199: 2 files say which version of it there is, not one"]);
    }

    #[test]
    fn a_line_may_name_several() {
        let one =
            file("crates/im/src/xep/caps.rs", "//! XEP-0115 Entity Capabilities and XEP-0128 forms: ours.\n");

        assert_eq!(
            Protocol::of(&one).map(|protocol| protocol.xeps),
            Some(vec!["0115".into(), "0128".into()])
        );
    }
}
