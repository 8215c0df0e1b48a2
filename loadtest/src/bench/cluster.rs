//! Figures of a cluster: alice → manager → router → manager → bob, each process by itself.

use super::frame::{guarded, publish};
use super::page::{latency, rate, spread};
use super::parts::{self, Plan};
use super::{Outcome, figure, register, say};
use crate::options::BenchCluster;
use crate::run::{self, Run};
use crate::{scenario, stamp};
use anyhow::{Result, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

const NAME: &str = "bench-cluster";

/// What is chatted: its name, the archives, messages of a pair on their way at once, XEP-0198.
const CHATS: &[(&str, bool, usize, bool)] = &[
    ("1 in flight", false, 1, false),
    ("16 in flight", false, 16, false),
    ("1 in flight, XEP-0198", false, 1, true),
    ("16 in flight, XEP-0198", false, 16, true),
    ("1 in flight, both archives, XEP-0198", true, 1, true),
    ("16 in flight, both archives, XEP-0198", true, 16, true),
];

/// Runs all chats, prints the table and writes it; fails if anything was lost, doubled or reordered.
pub(crate) async fn run(bench: &BenchCluster) -> Result<()> {
    let outcomes = guarded(NAME, async |directory| all(bench, directory).await).await?;
    publish(NAME, bench.write.as_deref(), &table(&outcomes, bench))?;
    let all_right = outcomes.iter().flat_map(|(_, runs)| runs).all(Outcome::is_run_right);
    ensure!(all_right, "lost, doubled, reordered or unconfirmed messages");
    say("everything sent arrived once and in order")
}

type Runs = (&'static str, Vec<Value>);

async fn all(bench: &BenchCluster, directory: &Path) -> Result<Vec<Runs>> {
    let mut outcomes: Vec<Runs> = CHATS.iter().map(|chat| (chat.0, Vec::new())).collect();
    let mut used = 0;
    for archive in [false, true] {
        let plan = Plan::new(&bench.made_of, directory.join(archive.to_string()), 2, 2);
        let cluster = Plan { archive, ..plan }.start().await?;
        let pids = cluster.pids().into_iter().chain(bench.beside.iter().map(|(_, pid)| *pid)).collect();
        let command = Run { server_pid: pids, target: cluster.targets()?, quiet: true, ..Run::default() };
        for ((name, _, in_flight, sm), (_, runs)) in
            CHATS.iter().zip(&mut outcomes).filter(|((_, archived, ..), _)| *archived == archive)
        {
            for _ in 0..bench.runs.max(1) {
                // Accounts of its own: what a former run's reader had not acknowledged would come to this one's.
                used += 1;
                let prefix = format!("c{}-{used}-", std::process::id());
                register(cluster.port()?, &prefix, bench.users).await?;
                let text = format!(
                    "about = \"{name}\"\nseconds = {}\n{}[chat]\nin-flight = {in_flight}\nsm = {sm}\n",
                    bench.seconds,
                    parts::accounts(&prefix, bench.users)
                );
                let (result, verdict) =
                    run::play(&command, scenario::parse(name, &text)?, name, &text).await?;
                say(&verdict.words)?;
                runs.push(result);
            }
        }
        cluster.stop().await?;
    }
    Ok(outcomes)
}

fn table(outcomes: &[Runs], bench: &BenchCluster) -> String {
    let beside: Vec<String> = bench.beside.iter().map(|(name, _)| format!("{name}, µs")).collect();
    let carried: Vec<String> = std::iter::once("routers")
        .chain(bench.beside.iter().map(|(name, _)| name.as_str()))
        .map(|name| format!("a core of {name} carries"))
        .collect();
    let mut out = format!(
        "{} Command: `make bench-cluster`. {} runs each of {} s, {} users, senders on one manager, receivers on the other; load average at the end {}.\n\n",
        stamp::words(),
        bench.runs,
        bench.seconds,
        bench.users,
        stamp::load_average()
    );
    let _ = writeln!(
        out,
        "| chat | all Starling processes (lowest–highest) | sender's manager, µs | receiver's | both routers, µs | {} | {} | rate | p50 / p99 |",
        beside.join(" | "),
        carried.join(" | ")
    );
    out.push_str(&format!("|{}\n", "---|".repeat(7 + beside.len() + carried.len())));
    for (name, runs) in outcomes {
        let each = |range: std::ops::Range<usize>| -> Vec<f64> {
            let sum = |run: &Value| -> Option<f64> {
                let each = run.pointer("/server/each-cpu-us")?.as_array()?;
                let sum: f64 = each.get(range.clone())?.iter().filter_map(Value::as_f64).sum();
                Some(sum / figure(run, "delivery.count")?.max(1.0))
            };
            runs.iter().filter_map(sum).collect()
        };
        let median = |range: std::ops::Range<usize>| -> f64 {
            let mut values = each(range);
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let middle = |range| format!("{:.1}", median(range));
        let carries = |range| format!("{:.0}/s", 1e6 / median(range));
        let beside = 4..4 + bench.beside.len();
        let stores: Vec<String> = beside.clone().map(|at| middle(at..at + 1)).collect();
        let carried: Vec<String> =
            std::iter::once(2..4).chain(beside.map(|at| at..at + 1)).map(carries).collect();
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            spread(each(0..4), "µs"),
            middle(0..1),
            middle(1..2),
            middle(2..4),
            stores.join(" | "),
            carried.join(" | "),
            rate(runs),
            latency(runs)
        );
    }
    out
}
