//! As many idle clients as several connection managers hold on one machine: what each takes of the managers' memory, and of what is
//! beside them.

use super::page::{self, spread};
use super::parts::{Cluster, Plan};
use super::{Outcome, figure, register, say};
use crate::options::BenchHold;
use crate::process::{One, Servers};
use crate::run::{self, Run};
use crate::{scenario, stamp};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Logins of all managers before memory is looked at: code and buffers that any connection needs are there then.
const WARM_UP: usize = 600;

/// Fills the managers, prints the table and writes it; fails if a client was not held.
pub(crate) async fn run(bench: &BenchHold) -> Result<()> {
    let directory = std::env::temp_dir().join(format!("starling-bench-hold-{}", std::process::id()));
    let held = hold(bench, &directory).await;
    let _ = std::fs::remove_dir_all(&directory); // what is left there is temporary by its place
    let held = held?;
    let table = table(&held, bench);
    if let Some(page) = &bench.write {
        page::write(page, &table, "make bench-hold")?;
    }
    say(&table)?;
    ensure!(Outcome::is_run_right(&held.result), "not every client was held");
    ensure!(held.answered() == held.clients as f64, "not every client was answered");
    say("every client was held, and answered")
}

/// What came of it.
struct Held {
    clients: usize,
    /// Of each manager, then of each router, then of each store: bytes that it has more than before the clients came.
    gained: Vec<i64>,
    /// The same: the part of a core that it takes while all are idle.
    busy: Vec<f64>,
    result: Value,
}

async fn hold(bench: &BenchHold, directory: &Path) -> Result<Held> {
    let prefix = format!("h{}-", std::process::id());
    // A cluster of its own makes the accounts: what that left in memory is not measured.
    let made = plan(bench, &directory.join("accounts"), 1).start().await?;
    register(first(&made)?, &prefix, bench.accounts).await?;
    made.stop().await?;

    let cluster = plan(bench, directory, bench.managers).start().await?;
    let pids: Vec<u32> = cluster.pids().into_iter().chain(bench.beside.iter().map(|(_, pid)| *pid)).collect();
    let servers = Servers { pids: pids.clone(), ..Servers::default() };
    let target: Vec<String> = cluster.ports()?.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let command = Run { target, server_pid: pids, quiet: true, ..Run::default() };
    let accounts = |count: usize| {
        format!(
            "[accounts]\ncount = {count}\nprefix = \"{prefix}\"\nregister = false\n[target]\nmechanism = \"scram-sha-1\"\n"
        )
    };

    let few = format!(
        "about = \"warm-up\"\nseconds = 60\noperations = {WARM_UP}\n{}[login]\n",
        accounts(bench.accounts.min(16))
    );
    run::play(&command, scenario::parse("warm-up", &few)?, "warm-up", &few).await?;

    let (_, before) = servers.read().await?;
    let workers = Workers::start(bench.workers).await?;
    let text = format!(
        "about = \"idle\"\nseconds = {}\npreparation-seconds = {}\n{}concurrency = 96\n[hold]\nper-account = {}\n",
        bench.seconds,
        60 * bench.minutes,
        accounts(bench.accounts),
        bench.per_account
    );
    let command = Run { workers: workers.addresses.clone(), ..command };
    let (result, verdict) = run::play(&command, scenario::parse("hold", &text)?, "hold", &text).await?;
    say(&verdict.words)?;
    drop(workers);
    cluster.stop().await?;
    Held::of(bench.accounts * usize::from(bench.per_account), &before, result)
}

impl Held {
    fn of(clients: usize, before: &[One], result: Value) -> Result<Self> {
        let seconds = result.get("seconds").and_then(Value::as_f64).context("no seconds")?;
        let list = |name: &str| -> Result<Vec<f64>> {
            let all = result.pointer(&format!("/server/{name}")).and_then(Value::as_array);
            Ok(all.with_context(|| format!("no {name}"))?.iter().filter_map(Value::as_f64).collect())
        };
        let now = list("each-rss-bytes")?;
        let gained = now.iter().zip(before).map(|(now, then)| *now as i64 - then.rss).collect();
        let busy = list("each-cpu-us")?.iter().map(|us| us / 1e6 / seconds).collect();
        Ok(Self { clients, gained, busy, result })
    }

    fn answered(&self) -> f64 {
        figure(&self.result, "ping.count").unwrap_or(0.0)
    }
}

fn plan<'a>(bench: &'a BenchHold, directory: &'a Path, managers: usize) -> Plan<'a> {
    let (program, stores) = (&bench.made_of.server, &bench.made_of.stores);
    Plan { program, stores, directory, managers, routers: 1, archive: false, is_counted: false }
}

fn first(cluster: &Cluster) -> Result<u16> {
    cluster.ports()?.first().copied().context("no manager")
}

/// Processes of the generator: one may hold only so many sockets. Killed when dropped.
struct Workers {
    addresses: Vec<String>,
    _running: Vec<Child>,
}

impl Workers {
    async fn start(count: usize) -> Result<Self> {
        let (mut addresses, mut running) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut child = Command::new(std::env::current_exe()?)
                .args(["worker", "--listen", "127.0.0.1:0"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .context("starting a worker")?;
            let mut line = String::new();
            BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line).await?;
            let address = line.trim().strip_prefix("worker on ").context("the worker does not listen")?;
            addresses.push(address.to_owned());
            running.push(child);
        }
        Ok(Self { addresses, _running: running })
    }
}

fn table(held: &Held, bench: &BenchHold) -> String {
    let clients = held.clients as f64;
    let mut out = format!(
        "{} Command: `make bench-hold`. {} of {} clients, {} of each account, were held for {} s by {} connection managers and one session router, and \
         answered then; {} processes of the generator; load average at the end {}.\n\n\
         | part | processes | resident memory gained, each client (lowest–highest process) | in all | part of a core while all are idle |\n\
         |---|---|---|---|---|\n",
        stamp::words(),
        held.answered(),
        held.clients,
        bench.per_account,
        bench.seconds,
        bench.managers,
        bench.workers,
        stamp::load_average()
    );
    let managers = bench.managers;
    let parts = [("connection managers", 0..managers), ("session router", managers..managers + 1)];
    let stores = bench.beside.iter().zip(managers + 1..).map(|((name, _), at)| (name.as_str(), at..at + 1));
    for (name, range) in parts.into_iter().chain(stores) {
        let _ = writeln!(out, "{}", row(held, name, &range, clients));
    }
    out
}

/// A process of so many has as many of the clients.
fn row(held: &Held, name: &str, range: &Range<usize>, clients: f64) -> String {
    let gained = held.gained.get(range.clone()).unwrap_or_default();
    let own = clients / range.len().max(1) as f64;
    let each = gained.iter().map(|bytes| *bytes as f64 / 1024.0 / own).collect();
    let all: i64 = gained.iter().sum();
    let busy: f64 = held.busy.get(range.clone()).unwrap_or_default().iter().sum();
    let all = all as f64 / f64::from(1 << 20);
    format!("| {name} | {} | {} | {all:.0} MiB | {:.1} % |", range.len(), spread(each, "KiB"), busy * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_came_with_the_clients_and_is_divided_by_a_process_s_own() {
        let result = serde_json::json!({ "seconds": 2.0, "server": {
            "each-rss-bytes": [1_024_000 + 7, 2_048_000 + 7, 512_007], "each-cpu-us": [200_000, 20_000, 0] } });
        let before = [One { rss: 7, ..One::default() }; 3];
        let held = Held::of(1000, &before, result).unwrap();
        assert_eq!(
            row(&held, "managers", &(0..2), 1000.0),
            "| managers | 2 | **4.00** KiB (2.00–4.00) | 3 MiB | 11.0 % |"
        );
        assert_eq!(
            row(&held, "router", &(2..3), 1000.0),
            "| router | 1 | **0.50** KiB (0.50–0.50) | 0 MiB | 0.0 % |"
        );
    }
}
