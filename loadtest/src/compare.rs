//! `compare`: which figures changed by more than the runs themselves differ.

use crate::results::{self, Played, spread};
use anyhow::{Result, ensure};
use clap::Args;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Nothing smaller than this part is called a change: clocks and machines are not better.
const LEAST: f64 = 0.02;
/// What one run without a series of its own is trusted to.
const ALONE: f64 = 0.10;
/// Counts that are right or wrong, whatever the noise.
const EXACT: [&str; 7] = ["lost", "acked-lost", "doubled", "reordered", "misplaced", "unacked", "errors"];

/// Says what changed from A to B beyond the noise. Each is a result, a folder of results, or several with commas between.
#[derive(Debug, Clone, Args)]
pub(crate) struct Compare {
    /// Before.
    pub(crate) a: String,
    /// After.
    pub(crate) b: String,
    /// Exit code 99 if anything became worse.
    #[arg(long)]
    pub(crate) fail: bool,
}

/// How a figure changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Better,
    Worse,
    Noise,
}

/// One figure of a scenario on both sides.
struct Line {
    name: String,
    before: f64,
    after: f64,
    noise: f64,
    change: Change,
}

/// The table, and whether anything became worse.
pub(crate) fn run(compare: &Compare) -> Result<(String, bool)> {
    let (before, after) = (results::read(&compare.a)?, results::read(&compare.b)?);
    let scenarios =
        |all: &[Played]| all.iter().map(|result| result.scenario.clone()).collect::<BTreeSet<_>>();
    let both: Vec<String> = scenarios(&before).intersection(&scenarios(&after)).cloned().collect();
    ensure!(!both.is_empty(), "no scenario is on both sides");
    let (mut out, mut is_worse) = (String::new(), false);
    for scenario in both {
        let of = |all: &'_ [Played]| {
            all.iter().filter(|result| result.scenario == scenario).cloned().collect::<Vec<_>>()
        };
        let (before, after) = (of(&before), of(&after));
        let lines = lines(&before.iter().collect::<Vec<_>>(), &after.iter().collect::<Vec<_>>());
        is_worse |= lines.iter().any(|line| line.change == Change::Worse);
        out.push_str(&table(&scenario, &before, &after, &lines));
    }
    Ok((out, is_worse))
}

fn lines(before: &[&Played], after: &[&Played]) -> Vec<Line> {
    let names: BTreeSet<&String> =
        before.iter().chain(after).flat_map(|result| result.figures.keys()).collect();
    names.into_iter().filter_map(|name| line(name, before, after)).collect()
}

fn line(name: &str, before: &[&Played], after: &[&Played]) -> Option<Line> {
    let less_is_better = less_is_better(name)?;
    let (a, b) = (spread(before, name)?.0, spread(after, name)?.0);
    let noise =
        if EXACT.contains(&name) { 0.0 } else { (noise(before, name) + noise(after, name)).max(LEAST) };
    let difference = if a.abs() > f64::EPSILON { (b - a) / a.abs() } else { f64::from(u8::from(b > a)) };
    let change = match () {
        () if difference.abs() <= noise => Change::Noise,
        () if (difference < 0.0) == less_is_better => Change::Better,
        () => Change::Worse,
    };
    Some(Line { name: name.to_owned(), before: a, after: b, noise, change })
}

/// Whether a smaller figure is the better one; nothing for figures that are neither good nor bad.
fn less_is_better(name: &str) -> Option<bool> {
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    if EXACT.contains(&name) || ends(&[".mean-ms", ".p50-ms", ".p90-ms", ".p99-ms", ".p999-ms"]) {
        return Some(true);
    }
    if name.starts_with("server-cpu-us-per") || name == "bytes-per-connection" {
        return Some(true);
    }
    (ends(&["per-second"]) && !name.starts_with("lateness")).then_some(false)
}

/// How far the runs of one side are from each other, as a part of the median: half of their range. A single run has only
/// its own seconds to judge by: twice the standard error of their mean.
fn noise(results: &[&Played], name: &str) -> f64 {
    let Some((median, low, high)) = spread(results, name) else { return 0.0 };
    if median.abs() <= f64::EPSILON {
        return 0.0;
    }
    match results {
        [alone] => of_series(alone, name).unwrap_or(ALONE),
        _ => (high - low) / 2.0 / median.abs(),
    }
}

fn of_series(result: &Played, name: &str) -> Option<f64> {
    let (operation, figure) = name.split_once('.')?;
    let column = match figure {
        "per-second" => 1,
        "mean-ms" | "p50-ms" => 2,
        "p90-ms" | "p99-ms" | "p999-ms" => 3,
        _ => return None,
    };
    let series = &result.operations.get(operation)?.series;
    let values: Vec<f64> =
        series.iter().filter(|point| point[1] > 0.0).filter_map(|point| point.get(column).copied()).collect();
    if values.len() < 5 {
        return None;
    }
    let (count, sum) = (values.len() as f64, values.iter().sum::<f64>());
    let mean = sum / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Some(2.0 * (variance / count).sqrt() / mean.abs().max(f64::EPSILON))
}

fn table(scenario: &str, before: &[Played], after: &[Played], lines: &[Line]) -> String {
    let mut out = format!("{scenario}: {} run(s) before, {} after\n", before.len(), after.len());
    for key in [
        "/stamp/cpu",
        "/stamp/cpus",
        "/stamp/kernel",
        "/stamp/optimised",
        "/target/server",
        "/scenario/text",
        "/target/transport",
    ] {
        let said =
            |all: &[Played]| all.iter().map(|result| result.value.pointer(key).cloned()).collect::<Vec<_>>();
        if said(before).first() != said(after).first() {
            let _ = writeln!(out, "  note: {} is not the same on both sides", key.trim_start_matches('/'));
        }
    }
    if before.len() < 3 || after.len() < 3 {
        out.push_str("  note: fewer than three runs on a side, so the noise is guessed from their seconds\n");
    }
    for line in lines.iter().filter(|line| line.change != Change::Noise) {
        let word = if line.change == Change::Worse { "WORSE " } else { "better" };
        let part = (line.after - line.before) / line.before.abs().max(f64::EPSILON) * 100.0;
        let part = if line.before.abs() > f64::EPSILON { format!("{part:+.1}%") } else { "new".to_owned() };
        let Line { name, before, after, noise, .. } = line;
        let _ =
            writeln!(out, "  {word} {name}: {before:.2} -> {after:.2} ({part}, noise {:.1}%)", noise * 100.0);
    }
    let same = lines.iter().filter(|line| line.change == Change::Noise).count();
    let _ = writeln!(out, "  {same} figures did not change beyond the noise");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::played;

    fn change(name: &str, before: &[f64], after: &[f64]) -> Change {
        let of = |values: &[f64]| {
            values.iter().map(|value| played("S", &[(name, *value)], &[], &[])).collect::<Vec<_>>()
        };
        let (before, after) = (of(before), of(after));
        let line = line(name, &before.iter().collect::<Vec<_>>(), &after.iter().collect::<Vec<_>>());
        line.unwrap().change
    }

    #[test]
    fn a_difference_smaller_than_that_of_the_runs_is_noise() {
        assert_eq!(change("delivery.p50-ms", &[10.0, 12.0, 11.0], &[12.0, 11.5, 13.0]), Change::Noise);
        assert_eq!(change("delivery.p50-ms", &[10.0, 10.1, 10.2], &[12.0, 12.1, 12.2]), Change::Worse);
        assert_eq!(change("delivery.p50-ms", &[10.0, 10.1, 10.2], &[8.0, 8.1, 8.2]), Change::Better);
        assert_eq!(change("delivery.per-second", &[100.0, 101.0, 102.0], &[80.0, 81.0, 82.0]), Change::Worse);
        assert_eq!(
            change("delivery.per-second", &[100.0, 100.0, 100.0], &[101.0, 101.0, 101.0]),
            Change::Noise
        );
    }

    #[test]
    fn one_lost_message_is_worse_whatever_the_noise() {
        assert_eq!(change("lost", &[0.0, 0.0, 0.0], &[0.0, 1.0, 1.0]), Change::Worse);
        assert_eq!(change("lost", &[2.0], &[0.0]), Change::Better);
        assert_eq!(change("lost", &[0.0], &[0.0]), Change::Noise);
    }

    #[test]
    fn a_single_run_is_judged_by_its_seconds() {
        let of = |rates: [f64; 5], mean: f64| {
            let series = rates.map(|rate| [0.0, rate, 1.0, 1.0]);
            played("S", &[("delivery.per-second", mean)], &[], &series)
        };
        let steady = of([100.0, 101.0, 99.0, 100.0, 100.0], 100.0);
        let (slower, rough) =
            (of([90.0, 91.0, 89.0, 90.0, 90.0], 90.0), of([50.0, 130.0, 60.0, 120.0, 90.0], 90.0));
        assert_eq!(line("delivery.per-second", &[&steady], &[&slower]).unwrap().change, Change::Worse);
        assert_eq!(line("delivery.per-second", &[&steady], &[&rough]).unwrap().change, Change::Noise);
    }

    #[test]
    fn counts_are_neither_good_nor_bad() {
        assert_eq!(less_is_better("delivery.count"), None);
        assert_eq!(less_is_better("generator-cpu-share"), None);
        assert_eq!(less_is_better("server-cpu-us-per-operation"), Some(true));
        assert_eq!(less_is_better("collected-per-second"), Some(false));
    }
}
