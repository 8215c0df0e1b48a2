//! The table of docs/benchmarks.md, with what one must know to believe it.

use super::Outcome;
use super::server::CONFIG;
use crate::options::Bench;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

const BEGIN: &str = "<!-- made by make bench -->\n";
const END: &str = "<!-- end of what make bench makes -->\n";

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
                let mut values: Vec<f64> = outcome
                    .runs
                    .iter()
                    .filter_map(|run| run.get(key)?.as_f64())
                    .map(|v| v / divisor)
                    .collect();
                values.sort_by(f64::total_cmp);
                let of = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
                format!(
                    "**{:.2}** {unit} ({:.2}–{:.2})",
                    of(values.len() / 2),
                    of(0),
                    of(values.len().saturating_sub(1))
                )
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

fn middle(runs: &[Value], pointer: &str) -> Option<f64> {
    let mut values: Vec<f64> = runs.iter().filter_map(|run| run.pointer(pointer)?.as_f64()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn rate(runs: &[Value]) -> String {
    let rates: Vec<String> = ["/per_second", "/stored_per_second", "/collected_per_second"]
        .iter()
        .filter_map(|pointer| middle(runs, pointer))
        .map(|rate| format!("{rate:.0}/s"))
        .collect();
    rates.join(", ")
}

fn latency(runs: &[Value]) -> String {
    match (middle(runs, "/latency/p50_us"), middle(runs, "/latency/p99_us")) {
        (Some(p50), Some(p99)) => format!("{:.1} / {:.1} ms", p50 / 1000.0, p99 / 1000.0),
        _ => String::new(),
    }
}

/// Machine, commit, date, command: what another one needs to do it again.
fn about(bench: &Bench) -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|text| !text.is_empty())
    };
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let kib: u64 =
        memory.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default();
    format!(
        "Date {}, commit {}, {count} × {}, {} MiB of memory, Linux {}. Command: `make bench BENCH='{}'`. \
         {} runs each (idle: at most 2) of {} s, {} users, {} idle connections; load average at the end {}.\n",
        said("date", &["+%F"]).unwrap_or_default(),
        said("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned()),
        model.trim_start_matches([' ', '\t', ':']),
        kib / 1024,
        read("/proc/sys/kernel/osrelease").trim(),
        arguments(bench),
        bench.runs,
        bench.seconds,
        bench.users,
        bench.connections,
        read("/proc/loadavg").split(' ').next().unwrap_or_default(),
    )
}

fn arguments(bench: &Bench) -> String {
    let only =
        if bench.only.is_empty() { String::new() } else { format!("--only {} ", bench.only.join(",")) };
    format!("{only}--runs {} --seconds {}", bench.runs, bench.seconds)
}

/// Puts the table in the place of the former one.
pub(super) fn write(page: &Path, table: &str) -> Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    std::fs::write(page, replaced(&text, table).context("the page has no place for the table")?)?;
    Ok(())
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let page = format!("# A\n{BEGIN}old\n{END}rest\n");
        let once = replaced(&page, "new").unwrap();
        assert_eq!(once, format!("# A\n{BEGIN}\nnew\n{END}rest\n"));
        assert_eq!(replaced(&once, "new").unwrap(), once);
        assert!(replaced("no marks", "new").is_none());
    }
}
