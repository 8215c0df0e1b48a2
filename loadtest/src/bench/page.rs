//! The table of docs/benchmarks.md, with what one must know to believe it.

use super::Outcome;
use super::server::CONFIG;
use crate::options::Bench;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

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
                let values = outcome.runs.iter().filter_map(|run| run.get(key)?.as_f64());
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

fn middle(runs: &[Value], pointer: &str) -> Option<f64> {
    let mut values: Vec<f64> = runs.iter().filter_map(|run| run.pointer(pointer)?.as_f64()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

pub(super) fn rate(runs: &[Value]) -> String {
    let rates: Vec<String> = ["/per_second", "/stored_per_second", "/collected_per_second"]
        .iter()
        .filter_map(|pointer| middle(runs, pointer))
        .map(|rate| format!("{rate:.0}/s"))
        .collect();
    rates.join(", ")
}

pub(super) fn latency(runs: &[Value]) -> String {
    match (middle(runs, "/latency/p50_us"), middle(runs, "/latency/p99_us")) {
        (Some(p50), Some(p99)) => format!("{:.1} / {:.1} ms", p50 / 1000.0, p99 / 1000.0),
        _ => String::new(),
    }
}

fn about(bench: &Bench) -> String {
    format!(
        "{} Command: `make bench BENCH='{}'`. {} runs each (idle: at most 2) of {} s, {} users, {} idle connections; {}.\n",
        stamp(),
        arguments(bench),
        bench.runs,
        bench.seconds,
        bench.users,
        bench.connections,
        load(),
    )
}

/// Date, commit, machine: what another one needs to do it again.
pub(super) fn stamp() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|text| !text.is_empty())
    };
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let kib: u64 =
        memory.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default();
    format!(
        "Date {}, commit {}, {count} × {}, {} MiB of memory, Linux {}.",
        said("date", &["+%F"]).unwrap_or_default(),
        said("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned()),
        model.trim_start_matches([' ', '\t', ':']),
        kib / 1024,
        read("/proc/sys/kernel/osrelease").trim(),
    )
}

/// How busy the machine was.
pub(super) fn load() -> String {
    let load = read("/proc/loadavg");
    format!("load average at the end {}", load.split(' ').next().unwrap_or_default())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn arguments(bench: &Bench) -> String {
    let only =
        if bench.only.is_empty() { String::new() } else { format!("--only {} ", bench.only.join(",")) };
    format!("{only}--runs {} --seconds {}", bench.runs, bench.seconds)
}

/// Puts the table in the place of the former one.
pub(super) fn write(page: &Path, table: &str, by: &str) -> Result<()> {
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
