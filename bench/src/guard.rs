//! What each path may cost, and what is said where it costs more.

use std::collections::BTreeMap;
use std::path::Path as File;

use anyhow::{Context, Result};

use crate::count;
use crate::path::Path;

/// So many percent more is too much; so many less is to be written down.
const PERCENT: u64 = 5;

/// `instructions.toml`: by processor, then by path.
#[derive(Debug, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Allowed {
    processors: BTreeMap<String, BTreeMap<String, u64>>,
}

/// What became of a path.
pub(crate) struct Verdict {
    pub(crate) is_good: bool,
    pub(crate) text: String,
}

pub(crate) fn read(file: &File) -> Result<Allowed> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    toml::from_str(&text).with_context(|| format!("reading {}", file.display()))
}

/// How much more `counted` is than `known`.
pub(crate) fn percent(counted: u64, known: u64) -> f64 {
    (counted as f64 / known as f64 - 1.0) * 100.0
}

impl Allowed {
    pub(crate) fn judge(&self, path: Path, counted: u64) -> Verdict {
        let what = format!("{path}: {counted} instructions {}", path.unit());
        let processor = std::env::consts::ARCH;
        let Some(known) = self.processors.get(processor).and_then(|paths| paths.get(path.name())) else {
            let text = format!("{what}; nothing is written down for it under [{processor}]");
            return Verdict { is_good: false, text };
        };
        let more = percent(counted, *known);
        let is_good = counted * 100 <= known * (100 + PERCENT);
        let is_less = counted * 100 < known * (100 - PERCENT);
        let text = match (is_good, is_less) {
            (false, _) => {
                format!("{what}: TOO MUCH, {more:.1} % more than the {known} that are written down")
            }
            (true, true) => {
                format!("{what}, {:.1} % less than {known}: write it down, or it can be lost again", -more)
            }
            (true, false) => format!("{what}, {more:+.1} % of {known}"),
        };
        Verdict { is_good, text }
    }
}

/// What to do about a path that costs too much.
pub(crate) fn advice(file: &File, output: &File) -> String {
    let profile = count::file_of("PATH", output);
    format!(
        "What now: `callgrind_annotate --inclusive=yes {}` shows where the instructions go; on the commit before, it shows where they \
         went. If what they buy is worth them, write the new figure into {} and say in the commit what it buys. A new compiler \
         may change all of them at once.",
        profile.display(),
        file.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(counted: u64) -> Verdict {
        let text = format!("[{}]\nchat = 10000\n", std::env::consts::ARCH);
        toml::from_str::<Allowed>(&text).unwrap().judge(Path::Chat, counted)
    }

    #[test]
    fn six_percent_more_are_too_much_and_five_are_not() {
        let verdict = judged(10_600);
        assert!(!verdict.is_good);
        assert!(verdict.text.contains("chat: 10600") && verdict.text.contains("6.0 % more than the 10000"));
        assert!(judged(10_500).is_good && judged(10_000).is_good && !judged(10_501).is_good);
    }

    #[test]
    fn what_has_become_cheaper_is_to_be_written_down() {
        let verdict = judged(9_000);
        assert!(verdict.is_good && verdict.text.contains("10.0 % less than 10000"), "{}", verdict.text);
    }

    #[test]
    fn a_path_without_a_figure_is_not_let_through() {
        let allowed: Allowed = toml::from_str("[another]\nchat = 10000\n").unwrap();
        assert!(!allowed.judge(Path::Chat, 1).is_good);
    }

    #[test]
    fn each_path_has_a_figure() {
        let file = File::new(env!("CARGO_MANIFEST_DIR")).join("instructions.toml");
        let allowed = read(&file).unwrap();
        for paths in allowed.processors.values() {
            let named: Vec<&str> = paths.keys().map(String::as_str).collect();
            let mut known = Path::ALL.map(Path::name);
            known.sort_unstable();
            assert_eq!(named, known);
        }
    }
}
