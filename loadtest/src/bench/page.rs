//! The table of docs/benchmarks.md, with what one must know to believe it.

use super::server::CONFIG;
use super::{Outcome, figure};
use crate::options::Bench;
use crate::results::Played;
use crate::{report, stamp};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

/// The table: a median for each figure, and behind it the lowest and the highest run.
pub(super) fn table(outcomes: &[Outcome], bench: &Bench) -> String {
    let mut out = format!("{}\n", about(bench));
    out.push_str("| scenario | what | durable at the ack | server CPU or memory (lowest–highest) | rate | p50 / p99 |\n");
    out.push_str("|---|---|---|---|---|---|\n");
    for outcome in outcomes {
        let scenario = &outcome.scenario;
        let figures: Vec<String> = scenario
            .figures()
            .iter()
            .map(|(key, unit, divisor)| {
                let values = outcome.runs.iter().filter_map(|run| figure(run, key));
                spread(values.map(|value| value / divisor).collect(), unit)
            })
            .collect();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            scenario.name,
            scenario.what,
            scenario.durable,
            figures.join(", "),
            rate(&outcome.runs),
            latency(&outcome.runs)
        );
    }
    out.push_str("\nThe configuration:\n\n```toml\n");
    out.push_str(CONFIG);
    out.push_str("```\n");
    out
}

/// The median of some runs, and behind it the lowest and the highest.
pub(super) fn spread(mut values: Vec<f64>, unit: &str) -> String {
    values.sort_by(f64::total_cmp);
    let of = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
    format!("**{:.2}** {unit} ({:.2}–{:.2})", of(values.len() / 2), of(0), of(values.len().saturating_sub(1)))
}

fn middle(runs: &[Value], name: &str) -> Option<f64> {
    let mut values: Vec<f64> = runs.iter().filter_map(|run| figure(run, name)).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

pub(super) fn rate(runs: &[Value]) -> String {
    let own = ["stored-per-second", "collected-per-second"];
    let all = own.into_iter().chain(MAIN.map(|(rate, ..)| rate));
    let rates: Vec<String> =
        all.filter_map(|name| middle(runs, name)).map(|rate| format!("{rate:.0}/s")).collect();
    rates.join(", ")
}

/// Rate, median and 99th percentile of what is measured, where it is in a result.
const MAIN: [(&str, &str, &str); 2] = [
    ("delivery.per-second", "delivery.p50-ms", "delivery.p99-ms"),
    ("login.per-second", "login.p50-ms", "login.p99-ms"),
];

pub(super) fn latency(runs: &[Value]) -> String {
    let both = |p50, p99| Some((middle(runs, p50)?, middle(runs, p99)?));
    let presence = both("presence.p50-ms", "presence.p99-ms");
    let found = presence.or_else(|| MAIN.into_iter().find_map(|(_, p50, p99)| both(p50, p99)));
    found.map_or_else(String::new, |(p50, p99)| format!("{p50:.1} / {p99:.1} ms"))
}

fn about(bench: &Bench) -> String {
    format!(
        "{} Command: `make bench BENCH='{}'`. {} runs each (idle: at most 2) of {} s, {} users, {} idle connections; load average at the end {}.\n",
        stamp::words(),
        arguments(bench),
        bench.runs,
        bench.seconds,
        bench.users,
        bench.connections,
        stamp::load_average(),
    )
}

fn arguments(bench: &Bench) -> String {
    let only =
        if bench.only.is_empty() { String::new() } else { format!("--only {} ", bench.only.join(",")) };
    format!("{only}--runs {} --seconds {}", bench.runs, bench.seconds)
}

/// Draws what servers cost into a folder beside the page: what shows it there.
pub(crate) fn charts(all: &[Played], page: &Path, folder: &str, prefix: &str) -> Result<String> {
    let place = page.parent().unwrap_or(Path::new("")).join(folder);
    let files = report::costs(all, &place, prefix)?;
    Ok(files.into_iter().map(|(file, shows)| format!("![{shows}]({folder}/{file})\n\n")).collect())
}

/// Puts the table in the place of the former one.
pub(crate) fn write(page: &Path, table: &str, by: &str) -> Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    std::fs::write(page, replaced(&text, table, by).context("the page has no place for the table")?)?;
    Ok(())
}

fn replaced(text: &str, table: &str, by: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- made by {by} -->\n"), format!("<!-- end of what {by} makes -->\n"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{table}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let page =
            |text: &str| format!("# A\n<!-- made by x -->\n{text}<!-- end of what x makes -->\nrest\n");
        let once = replaced(&page("old\n"), "new", "x").unwrap();
        assert_eq!(once, page("\nnew\n"));
        assert_eq!(replaced(&once, "new", "x").unwrap(), once);
        assert!(replaced(&once, "new", "y").is_none());
    }
}
