//! As many idle clients as several connection managers hold on one machine: what each takes of the managers' memory, and of what is
//! beside them.

use super::frame::{guarded, publish};
use super::page::spread;
use super::parts::{self, Plan};
use super::server::LOG;
use super::{Outcome, figure, register, say};
use crate::options::BenchHold;
use crate::process::{One, Servers};
use crate::run::{self, Run};
use crate::{scenario, stamp};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const NAME: &str = "bench-hold";
/// Logins of all managers before memory is looked at: code and buffers that any connection needs are there then.
const WARM_UP: usize = 600;
/// How often a client tries to log in that is refused for now, closed or not answered.
const ATTEMPTS: usize = 6;

/// Fills the managers, prints the table and writes it; fails if a client was not held.
pub(crate) async fn run(bench: &BenchHold) -> Result<()> {
    let held = guarded(NAME, async |directory| hold(bench, directory).await).await?;
    publish(NAME, bench.write.as_deref(), &table(&held, bench))?;
    ensure!(
        held.figure("closed") == 0.0,
        "{} clients were closed while they were idle",
        held.figure("closed")
    );
    ensure!(held.figure("held") == held.clients as f64, "not every client was answered after it was held");
    ensure!(Outcome::is_run_right(&held.result), "there were errors");
    say("every client was held, and answered")
}

/// What came of it.
struct Held {
    clients: usize,
    parts: Vec<Part>,
    result: Value,
}

/// Processes of one kind.
struct Part {
    name: String,
    /// Of each: bytes that it has more than before the clients came.
    gained: Vec<i64>,
    /// Of each: the part of a core that it takes while all are idle.
    busy: Vec<f64>,
}

async fn hold(bench: &BenchHold, directory: &Path) -> Result<Held> {
    let prefix = format!("h{}-", std::process::id());
    // A cluster of its own makes the accounts: what that left in memory is not measured.
    let made = Plan::new(&bench.made_of, directory.join("accounts"), 1, 1).start().await?;
    register(made.port()?, &prefix, bench.accounts).await?;
    made.stop().await?;

    let cluster = Plan::new(&bench.made_of, directory.to_owned(), bench.managers, 1).start().await?;
    let workers = Workers::start(bench.workers).await?;
    let servers = Servers {
        pids: cluster.pids(),
        beside: bench.beside.iter().cloned().chain(workers.pids()?).collect(),
        ..Servers::default()
    };
    let command = Run {
        target: cluster.targets()?,
        server_pid: servers.pids.clone(),
        beside: servers.beside.clone(),
        quiet: true,
        ..Run::default()
    };
    let few = format!(
        "about = \"warm-up\"\nseconds = 60\noperations = {WARM_UP}\n{}[login]\n",
        parts::accounts(&prefix, bench.accounts.min(16))
    );
    run::play(&command, scenario::parse("warm-up", &few)?, "warm-up", &few).await?;

    let mut before = servers.read().await?.1;
    before.extend(servers.beside()?.into_iter().map(|(_, one)| one));
    let clients = bench.accounts * usize::from(bench.per_account);
    say(&format!("{clients} clients log in, {} at a time", bench.concurrency))?;
    let text = format!(
        "about = \"idle\"\nseconds = {}\npreparation-seconds = {}\n{}concurrency = {}\n[hold]\nper-account = {}\nattempts = {ATTEMPTS}\n",
        bench.seconds,
        60 * bench.minutes,
        parts::accounts(&prefix, bench.accounts),
        bench.concurrency,
        bench.per_account
    );
    let command = Run { workers: workers.addresses.clone(), ..command };
    let (result, verdict) = run::play(&command, scenario::parse("hold", &text)?, "hold", &text).await?;
    say(&verdict.words)?;
    drop(workers);
    cluster.stop().await?;
    let figure = |name: &str| figure(&result, name).unwrap_or(0.0);
    if figure("closed") > 0.0 || figure("held") != clients as f64 {
        let kept = std::env::temp_dir().join(format!("starling-{NAME}-logs-{}", std::process::id()));
        keep_logs(directory, &kept)?;
        say(&format!(
            "Not every client was held: what managers and router have logged is in {}",
            kept.display()
        ))?;
    }
    let mut names = vec![("connection managers", bench.managers), ("session router", 1)];
    names.extend(bench.beside.iter().map(|(name, _)| (name.as_str(), 1)));
    names.push(("load generator", bench.workers));
    Held::of(clients, &names, &before, result)
}

/// What each part has logged, before its directory is removed.
fn keep_logs(directory: &Path, kept: &Path) -> Result<()> {
    std::fs::create_dir_all(kept)?;
    for part in std::fs::read_dir(directory)? {
        let part = part?;
        let (log, name) = (part.path().join(LOG), part.file_name());
        if log.is_file() {
            std::fs::copy(&log, kept.join(name).with_extension("log"))?;
        }
    }
    Ok(())
}

impl Held {
    /// `names` are the kinds of processes in their order, and how many there are of each.
    fn of(clients: usize, names: &[(&str, usize)], before: &[One], result: Value) -> Result<Self> {
        let seconds = result.get("seconds").and_then(Value::as_f64).context("no seconds")?;
        let (rss, cpu) = (all(&result, "rss-bytes")?, all(&result, "cpu-us")?);
        let mut each = rss
            .iter()
            .zip(before)
            .map(|(now, then)| *now as i64 - then.rss)
            .zip(cpu.iter().map(|us| us / 1e6 / seconds));
        let part = |(name, count): &(&str, usize)| {
            let (gained, busy) = each.by_ref().take(*count).unzip();
            Part { name: (*name).to_owned(), gained, busy }
        };
        let parts = names.iter().map(part).collect();
        Ok(Self { clients, parts, result })
    }

    fn figure(&self, name: &str) -> f64 {
        figure(&self.result, name).unwrap_or(0.0)
    }
}

/// Of each process of the server, then of each beside it.
fn all(result: &Value, name: &str) -> Result<Vec<f64>> {
    let list =
        |place: &str| result.pointer(place).and_then(Value::as_array).with_context(|| format!("no {place}"));
    let servers = list(&format!("/server/each-{name}"))?.iter();
    let beside = list("/beside")?.iter().filter_map(|one| one.get(name));
    Ok(servers.chain(beside).filter_map(Value::as_f64).collect())
}

/// Processes of the generator: one may hold only so many sockets. Killed when dropped.
struct Workers {
    addresses: Vec<String>,
    running: Vec<Child>,
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
        Ok(Self { addresses, running })
    }

    /// Each with a name.
    fn pids(&self) -> Result<Vec<(String, u32)>> {
        let named = |(place, child): (usize, &Child)| {
            let pid = child.id().context("a worker has ended")?;
            Ok((format!("generator-{}", 1 + place), pid))
        };
        self.running.iter().enumerate().map(named).collect()
    }
}

fn table(held: &Held, bench: &BenchHold) -> String {
    let mut out = format!(
        "{} Command: `make {NAME}`. {} connection managers, one session router, {} clients, {} of each account, from {} processes of the generator. \
         {} They were idle for {} s: {} were closed in that time, {} answered a ping after it. Load average at the end {}.\n\n\
         | part | processes | resident memory gained, each client (lowest–highest process) | in all | of a core while all are idle, a process (lowest–highest) |\n\
         |---|---|---|---|---|\n",
        stamp::words(),
        bench.managers,
        held.clients,
        bench.per_account,
        bench.workers,
        logins(held, bench.concurrency),
        bench.seconds,
        held.figure("closed"),
        held.figure("held"),
        stamp::load_average()
    );
    for part in &held.parts {
        let _ = writeln!(out, "{}", row(part, held.clients as f64));
    }
    out
}

/// How long it took until all were in, and how often one had to try again.
fn logins(held: &Held, concurrency: u16) -> String {
    let of = |name: &str| held.figure(name);
    let (refused, closed, unanswered) =
        (of("retries-refused"), of("retries-closed"), of("retries-unanswered"));
    format!(
        "They logged in within {:.0} s, {concurrency} at a time, half of them in {:.0} ms, 99 of 100 in {:.0} ms; {} attempts were made again, {refused} \
         after `temporary-auth-failure`, {closed} after a closed connection, {unanswered} after no answer.",
        of("hold-login.seconds"),
        of("hold-login.p50-ms"),
        of("hold-login.p99-ms"),
        refused + closed + unanswered
    )
}

/// A process of so many has as many of the clients.
fn row(part: &Part, clients: f64) -> String {
    let count = part.gained.len();
    let own = clients / count.max(1) as f64;
    let each = part.gained.iter().map(|bytes| *bytes as f64 / 1024.0 / own).collect();
    let all = part.gained.iter().sum::<i64>() as f64 / f64::from(1 << 20);
    let busy = part.busy.iter().map(|busy| busy * 100.0).collect();
    format!("| {} | {count} | {} | {all:.0} MiB | {} |", part.name, spread(each, "KiB"), spread(busy, "%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Held {
        let result = serde_json::json!({
            "seconds": 2.0,
            "figures": { "hold-login.seconds": 61.2, "hold-login.p50-ms": 99.6, "hold-login.p99-ms": 700.0,
                "retries-refused": 2.0, "retries-closed": 1.0 },
            "server": { "each-rss-bytes": [1_024_000 + 7, 2_048_000 + 7, 512_007], "each-cpu-us": [200_000, 20_000, 0] },
            "beside": [{ "name": "redis", "rss-bytes": 1_024_007, "cpu-us": 40_000 }],
        });
        let before = [One { rss: 7, ..One::default() }; 4];
        Held::of(1000, &[("managers", 2), ("router", 1), ("redis", 1)], &before, result).unwrap()
    }

    #[test]
    fn what_parts_have_logged_is_kept() {
        let (directory, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (part, file) in [("manager-1", LOG), ("router-1", LOG), ("accounts", "other")] {
            std::fs::create_dir(directory.path().join(part)).unwrap();
            std::fs::write(directory.path().join(part).join(file), part).unwrap();
        }
        keep_logs(directory.path(), kept.path()).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(kept.path()).unwrap().map(|log| log.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["manager-1.log", "router-1.log"]);
        assert_eq!(std::fs::read_to_string(kept.path().join("router-1.log")).unwrap(), "router-1");
    }

    #[test]
    fn memory_is_what_came_with_the_clients_and_is_divided_by_a_process_s_own() {
        let rows: Vec<String> = held().parts.iter().map(|part| row(part, 1000.0)).collect();
        assert_eq!(
            rows,
            [
                "| managers | 2 | **4.00** KiB (2.00–4.00) | 3 MiB | **10.00** % (1.00–10.00) |",
                "| router | 1 | **0.50** KiB (0.50–0.50) | 0 MiB | **0.00** % (0.00–0.00) |",
                "| redis | 1 | **1.00** KiB (1.00–1.00) | 1 MiB | **2.00** % (2.00–2.00) |",
            ]
        );
    }

    #[test]
    fn attempts_that_were_made_again_stand_beside_the_time_of_the_logins() {
        assert_eq!(
            logins(&held(), 24),
            "They logged in within 61 s, 24 at a time, half of them in 100 ms, 99 of 100 in 700 ms; 3 attempts were made again, 2 after \
             `temporary-auth-failure`, 1 after a closed connection, 0 after no answer."
        );
    }
}
