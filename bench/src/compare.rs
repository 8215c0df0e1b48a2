//! What logs cost that nobody keeps: the same paths in this program, and in one that has them compiled away.

use std::fmt::Write as _;
use std::path::Path as File;
use std::process::Command;

use anyhow::{Context, Result};

use crate::count::{self, Player};
use crate::path::Path;
use crate::{guard, say};

/// More percent than these are too much.
const PERCENT: u64 = 1;
/// What seems too much is counted again, so many times in all: the writer of the store may write more often, never less.
const MOST: usize = 8;
/// The level that the program has unless it is told another.
const DEFAULT: &str = "info";
/// Between these lines of the page stands the table.
const BEGIN: &str = "<!-- made by make bench-tracing -->\n";
const END: &str = "<!-- end of what make bench-tracing makes -->\n";

/// What one of a path takes: the least of the runs.
struct Compared {
    path: Path,
    silent: u64,
    /// The program as it is, without a log.
    without: u64,
    /// With one, at the level that it has by itself.
    with: u64,
}

impl Compared {
    fn is_good(&self) -> bool {
        [self.without, self.with].iter().all(|&count| count * 100 <= self.silent * (100 + PERCENT))
    }

    fn row(&self) -> String {
        let Compared { path, silent, without, with } = *self;
        let more = |count| guard::percent(count, silent);
        format!(
            "| `{path}` | {silent} | {without} ({:+.2} %) | {with} ({:+.2} %) |",
            more(without),
            more(with)
        )
    }
}

/// Counts, prints and writes the table; whether no path takes too much.
pub(crate) fn tracing(
    silent: &File,
    paths: &[Path],
    output: &File,
    runs: usize,
    page: Option<&File>,
) -> Result<bool> {
    let mut table = format!(
        "{}. Command: `make bench-tracing`; the least of {runs} runs each, of up to {MOST} where it seems too much.\n\n\
         | path | compiled away | as it is, without a log | as it is, log at `{DEFAULT}` |\n|---|---|---|---|\n",
        stamp()
    );
    let mut failed = 0;
    for &path in paths {
        let compared = compare(silent, path, output, runs)?;
        failed += usize::from(!compared.is_good());
        let verdict = if compared.is_good() { "" } else { " TOO MUCH" };
        say(&format!("{}{verdict}", compared.row()))?;
        let _ = writeln!(table, "{}", compared.row());
    }
    say(&format!("\n{table}"))?;
    if let Some(page) = page {
        let text = std::fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
        std::fs::write(page, replaced(&text, &table).context("the page has no place for the table")?)?;
    }
    say(&format!("{} passed, {failed} failed", paths.len() - failed))?;
    Ok(failed == 0)
}

/// By turns, so that what the machine does meanwhile is the same for all.
fn compare(silent: &File, path: Path, output: &File, runs: usize) -> Result<Compared> {
    let without = Player::this()?;
    let with = Player { program: without.program.clone(), log: Some(DEFAULT) };
    let silent = Player { program: silent.to_owned(), log: None };
    let mut least = Compared { path, silent: u64::MAX, without: u64::MAX, with: u64::MAX };
    let mut counted = 0;
    while counted < runs.max(1) || (counted < MOST && !least.is_good()) {
        least.silent = least.silent.min(count::of_one(&silent, path, &output.join("silent"))?);
        least.without = least.without.min(count::of_one(&without, path, &output.join("without"))?);
        least.with = least.with.min(count::of_one(&with, path, &output.join("with"))?);
        counted += 1;
    }
    Ok(least)
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// When, of what and where it was counted.
fn stamp() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|text| !text.is_empty())
    };
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!(
        "Date {}, commit {}{}, {}, {}",
        said("date", &["+%F"]).unwrap_or_default(),
        said("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_default(),
        said("git", &["status", "--porcelain", "--untracked-files=no"]).map_or("", |_| " with changes"),
        model.trim_start_matches([' ', '\t', ':']),
        said("valgrind", &["--version"]).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_one_percent_is_too_much() {
        let good = |without, with| Compared { path: Path::Chat, silent: 10_000, without, with }.is_good();
        assert_eq!(
            [good(10_100, 10_000), good(10_000, 10_101), good(10_101, 10_000), good(9_000, 9_000)],
            [true, false, false, true]
        );
    }

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let page = |table: &str| format!("# A\n{BEGIN}{table}{END}rest\n");
        assert_eq!(replaced(&page("old\n"), "new").unwrap(), page("\nnew\n"));
        assert!(replaced("# A\n", "new").is_none());
    }
}
