//! The result of a run: figures under flat names, histograms, what was wrong, and whether the thresholds hold.

use crate::clock::Costs;
use crate::load::Outcome;
use crate::process::One;
use crate::recorder::{Operation, Recorder};
use crate::scenario::{Load, Scenario, Threshold};
use crate::target::Target;
use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::time::Instant;

/// What must not happen, unless the scenario says otherwise.
const NEVER: [&str; 8] =
    ["lost", "acked-lost", "doubled", "reordered", "misplaced", "unacked", "flaps", "errors"];
/// The generator has one thread: busier than this, it is what is measured.
const BUSY: f64 = 0.85;
/// A plan kept worse than this (99th percentile) was not kept.
const LATE_MS: f64 = 10.0;

/// How the figures of what is beside the server end.
pub(crate) const BESIDE: &str = "-beside-us-per-operation";

/// What was run.
pub(super) struct About<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    pub(super) scenario: &'a Scenario,
    pub(super) stamp: Value,
    pub(super) version: Option<String>,
    pub(super) target: &'a Arc<Target>,
}

/// Whether it was good enough, in words.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) words: String,
    pub(crate) is_good: bool,
}

/// What was spent: by the server, until both moments; by the load generator, in microseconds, and which part of its
/// threads' time, of the busiest one.
pub(crate) struct Spent {
    pub(crate) before: Costs,
    pub(crate) after: Costs,
    pub(crate) own: f64,
    pub(crate) share: f64,
}

impl Spent {
    /// By a run of this process alone.
    pub(crate) fn here(before: Costs, after: Costs) -> Self {
        let own = after.own.saturating_sub(before.own).as_secs_f64() * 1e6;
        let measured = after.at.duration_since(before.at).as_secs_f64().max(0.001);
        Self { before, after, own, share: own / 1e6 / measured }
    }
}

/// Puts the result together.
pub(super) fn result(
    about: &About<'_>,
    outcome: &Outcome,
    recorder: &Recorder,
    spent: &Spent,
) -> Result<(Value, Verdict)> {
    let Spent { before, after, own, share } = spent;
    let operations = recorder.operations();
    let mut figures = correctness(outcome, recorder);
    for (name, operation) in operations.iter() {
        of_operation(&mut figures, name, operation, before.at);
    }
    let loads: Vec<Load> = about.scenario.loads().into_iter().map(|(load, _)| load).collect();
    let count = main_operations(&loads, &operations);
    let server = after.server.cpu_us_since(&before.server);
    let measured = after.at.duration_since(before.at).as_secs_f64().max(0.001);
    figures.insert("server-cpu-us".to_owned(), server);
    figures.insert("server-cpu-us-per-operation".to_owned(), server / count);
    figures.insert("generator-cpu-us-per-operation".to_owned(), own / count);
    let cpu_us = |(after, before): (&One, &One)| after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6;
    let mut beside = Vec::new();
    for ((name, after), (_, before)) in after.beside.iter().zip(&before.beside) {
        let cpu_us = cpu_us((after, before));
        figures.insert(format!("{name}{BESIDE}"), cpu_us / count);
        beside.push(json!({ "name": name, "cpu-us": cpu_us, "rss-bytes": after.rss }));
    }
    figures.insert("generator-cpu-share".to_owned(), *share);
    figures.extend(outcome.figures.iter().map(|(name, figure)| ((*name).to_owned(), *figure)));
    let limited = limited(&figures);
    let thresholds = judge(about.scenario, &figures);
    let each = after.each.iter().zip(&before.each).map(cpu_us);
    let each_rss: Vec<i64> = after.each.iter().map(|one| one.rss).collect();
    let instructions =
        after.instructions.iter().zip(&before.instructions).map(|(after, before)| after - before);
    let target = &about.scenario.target;
    let value = json!({
        "schema": 1,
        "scenario": { "name": about.name, "about": about.scenario.about, "text": about.text },
        "loads": loads.iter().map(Load::name).collect::<Vec<_>>(),
        "main": loads.first().and_then(|load| load.operations().first()),
        "accounts": about.scenario.accounts.count.get(),
        "target": {
            "addresses": target.addresses, "domain": about.target.domain, "server": about.version,
            "transport": format!("{:?}", about.target.transport), "mechanism": about.target.mechanism.map(|it| format!("{it:?}")),
        },
        "stamp": about.stamp,
        "seconds": measured,
        "figures": figures,
        "operations": operations.iter().map(|(name, operation)| Ok(((*name).to_owned(), whole(operation)?))).collect::<Result<Map<_, _>>>()?,
        "correctness": outcome.findings.json(),
        "errors": recorder.errors(),
        "server": { "each-cpu-us": each.collect::<Vec<_>>(), "each-rss-bytes": each_rss, "each-instructions": instructions.collect::<Vec<_>>(), "gained": after.server.since(&before.server) },
        "beside": beside,
        "limited": limited,
        "thresholds": thresholds.iter().map(|(threshold, value, holds)| json!({
            "threshold": threshold.to_string(), "value": value, "holds": holds })).collect::<Vec<_>>(),
    });
    let words = words(about, &figures, &operations, recorder, outcome, limited.as_deref(), &thresholds);
    Ok((value, Verdict { words, is_good: thresholds.iter().all(|(.., holds)| *holds) }))
}

fn correctness(outcome: &Outcome, recorder: &Recorder) -> BTreeMap<String, f64> {
    let found = &outcome.findings;
    let errors: u64 = recorder.errors().values().sum();
    let counts = [
        ("sent", found.sent),
        ("received", found.received),
        ("lost", found.lost),
        ("acked-lost", found.acked_lost),
        ("doubled", found.doubled),
        ("reordered", found.reordered),
        ("misplaced", found.misplaced),
        ("errors", errors),
        ("unacked", 0),
        ("flaps", 0),
    ];
    counts.into_iter().map(|(name, count)| (name.to_owned(), count as f64)).collect()
}

fn of_operation(figures: &mut BTreeMap<String, f64>, name: &str, operation: &Operation, began: Instant) {
    let latency = &operation.latency;
    let from = if operation.last > began { began } else { operation.first };
    let seconds = operation.last.saturating_duration_since(from).as_secs_f64().max(0.001);
    let at = |quantile| latency.value_at_quantile(quantile) as f64 / 1000.0;
    let all = [
        ("count", latency.len() as f64),
        ("seconds", seconds),
        ("per-second", latency.len() as f64 / seconds),
        ("mean-ms", latency.mean() / 1000.0),
        ("p50-ms", at(0.5)),
        ("p90-ms", at(0.9)),
        ("p99-ms", at(0.99)),
        ("p999-ms", at(0.999)),
        ("max-ms", latency.max() as f64 / 1000.0),
    ];
    figures.extend(all.into_iter().map(|(figure, value)| (format!("{name}.{figure}"), value)));
}

/// How many of those operations there were that costs are divided by; at least one.
fn main_operations(loads: &[Load], operations: &BTreeMap<&'static str, Operation>) -> f64 {
    let count =
        |load: &Load| operations.get(load.operations().first()?).map(|operation| operation.latency.len());
    loads.iter().filter_map(count).sum::<u64>().max(1) as f64
}

fn whole(operation: &Operation) -> Result<Value> {
    let series: Vec<Value> = operation
        .series
        .iter()
        .map(|point| {
            json!([(point.at * 10.0).round() / 10.0, point.per_second.round(), point.p50_us, point.p99_us])
        })
        .collect();
    Ok(json!({ "histogram": encoded(&operation.latency)?, "series": series }))
}

/// A histogram as text: HdrHistogram's own format V2, in Base64.
pub(crate) fn encoded(histogram: &Histogram<u64>) -> Result<String> {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes).ok().context("a histogram cannot be written")?;
    Ok(BASE64.encode(bytes))
}

/// Why the generator and not the server limited the run, if it did.
fn limited(figures: &BTreeMap<String, f64>) -> Option<String> {
    let share = figures.get("generator-cpu-share").copied().unwrap_or(0.0);
    let late = figures.get("lateness.p99-ms").copied().unwrap_or(0.0);
    if share > BUSY {
        return Some(format!("the generator used {:.0}% of its one thread", share * 100.0));
    }
    (late > LATE_MS).then(|| format!("the generator sent late: {late:.1} ms at the 99th percentile"))
}

type Judged = Vec<(Threshold, Option<f64>, bool)>;

/// A figure that was not measured holds no threshold.
fn judge(scenario: &Scenario, figures: &BTreeMap<String, f64>) -> Judged {
    let own = scenario.conditions.clone();
    let is_said = |figure: &str| own.iter().any(|threshold| threshold.figure == figure);
    let never: Vec<Threshold> =
        NEVER.into_iter().filter(|figure| !is_said(figure)).map(Threshold::none).collect();
    let judged = own.into_iter().chain(never).map(|threshold| {
        let value = figures.get(&threshold.figure).copied();
        let holds = value.is_some_and(|value| threshold.holds(value));
        (threshold, value, holds)
    });
    judged.collect()
}

fn words(
    about: &About<'_>,
    figures: &BTreeMap<String, f64>,
    operations: &BTreeMap<&'static str, Operation>,
    recorder: &Recorder,
    outcome: &Outcome,
    limited: Option<&str>,
    thresholds: &Judged,
) -> String {
    let figure = |name: &str| figures.get(name).copied().unwrap_or(0.0);
    let mut out = format!(
        "{}: {}",
        about.name,
        about.version.as_deref().unwrap_or("a server that does not say what it is")
    );
    for name in operations.keys() {
        let of = |what: &str| figure(&format!("{name}.{what}"));
        let _ = write!(
            out,
            "\n  {name}: {} ({:.0}/s), p50 {:.2} p99 {:.2} p99.9 {:.2} max {:.2} ms",
            of("count"),
            of("per-second"),
            of("p50-ms"),
            of("p99-ms"),
            of("p999-ms"),
            of("max-ms")
        );
    }
    if figure("sent") > 0.0 {
        let counts =
            ["sent", "received", "lost", "acked-lost", "doubled", "reordered", "misplaced", "unacked"];
        let counts = counts.map(|name| format!("{} {name}", figure(name)));
        let _ = write!(out, "\n  messages: {}", counts.join(", "));
    }
    let _ = write!(
        out,
        "\n  CPU for each operation: server {:.1} us, generator {:.1} us ({:.0}% of its thread)",
        figure("server-cpu-us-per-operation"),
        figure("generator-cpu-us-per-operation"),
        figure("generator-cpu-share") * 100.0
    );
    for (name, value) in figures.iter().filter(|(name, _)| name.ends_with(BESIDE)) {
        let _ = write!(out, "\n  {name}: {value:.1}");
    }
    for (name, value) in outcome.figures.iter().filter(|(name, _)| *name != "unacked") {
        let _ = write!(out, "\n  {name}: {value:.1}");
    }
    for line in outcome.findings.named.iter().take(10) {
        let _ = write!(out, "\n  {line}");
    }
    for (error, count) in recorder.errors() {
        let _ = write!(out, "\n  {count} times: {error}");
    }
    if let Some(why) = limited {
        let _ = write!(out, "\n  LIMITED BY THE GENERATOR: {why}");
    }
    for (threshold, value, _) in thresholds.iter().filter(|(.., holds)| !holds) {
        let value = value.map_or_else(|| "not measured".to_owned(), |value| format!("{value:.3}"));
        let _ = write!(out, "\n  THRESHOLD: {threshold} does not hold: {value}");
    }
    out
}
