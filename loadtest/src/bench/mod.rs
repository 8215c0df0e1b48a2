//! All figures of docs/benchmarks.md: each scenario on a server that was just started, several times, checked.

pub(crate) mod cluster;
mod frame;
pub(crate) mod hold;
pub(crate) mod managers;
pub(crate) mod page;
mod parts;
mod scenario;
mod server;

use crate::options::Bench;
use crate::results::{self, Played};
use crate::run::{self, Run};
use crate::target::{self, Target, Transport};
use crate::{relay, scenario as file};
use anyhow::{Context as _, Result, ensure};
use scenario::{ALL, Kind, Scenario};
use serde_json::Value;
use server::Server;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// How many accounts are made at the same time.
const CONCURRENCY: usize = 16;

/// One scenario, run several times.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    /// The result of each run.
    pub(crate) runs: Vec<Value>,
}

/// Runs what is wanted, prints the table and writes it; fails if anything was lost, doubled or reordered.
pub(crate) async fn run(bench: &Bench) -> Result<()> {
    if bench.list {
        let names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        return say(&names.join("\n"));
    }
    let outcomes = frame::guarded("bench", async |directory| all(bench, directory).await).await?;
    let table = page::table(&outcomes, bench);
    if let Some(page) = &bench.write {
        let played = played(&outcomes)?;
        let charts = page::charts(&played, page, "images", "bench")?;
        page::write(page, &format!("{charts}{table}"), "make bench")?;
    }
    let broken: Vec<&str> =
        outcomes.iter().filter(|outcome| !outcome.is_right()).map(|outcome| outcome.scenario.name).collect();
    say(&table)?;
    ensure!(broken.is_empty(), "lost, doubled, reordered or unconfirmed messages in {broken:?}");
    say("everything sent arrived once and in order")
}

/// The runs against the server; the relay is none.
fn played(outcomes: &[Outcome]) -> Result<Vec<Played>> {
    let of_server = outcomes.iter().filter(|outcome| !matches!(outcome.scenario.kind, Kind::Relay { .. }));
    let runs = of_server.flat_map(|outcome| outcome.runs.iter().map(|run| (outcome.scenario.name, run)));
    runs.map(|(name, run)| results::of_value(Path::new(name), run.clone())).collect()
}

async fn all(bench: &Bench, directory: &Path) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for scenario in ALL.iter().filter(|scenario| scenario.is_wanted(&bench.only)) {
        let mut runs = Vec::new();
        let repeat = if scenario.kind == Kind::Idle { bench.runs.min(2) } else { bench.runs };
        for run in 0..repeat.max(1) {
            let place = directory.join(format!("{}-{run}", scenario.name));
            let result = match scenario.kind {
                Kind::Relay { in_flight } => against_relay(bench, in_flight).await,
                _ => against_server(scenario, bench, &place).await,
            }
            .with_context(|| format!("scenario {}", scenario.name))?;
            runs.push(result);
            let _ = std::fs::remove_dir_all(&place); // made anew for each run
        }
        outcomes.push(Outcome { scenario: *scenario, runs });
    }
    Ok(outcomes)
}

/// Accounts are made by one process and used by the next: what registration left in memory is not measured.
async fn against_server(scenario: &Scenario, bench: &Bench, directory: &Path) -> Result<Value> {
    let server = Server::start(&bench.server, directory, scenario.archive).await?;
    register(server.port(false)?, "load", scenario.accounts(bench)).await?;
    server.stop().await?;
    let server = Server::start(&bench.server, directory, scenario.archive).await?;
    let command = Run { server_pid: vec![server.pid()], quiet: true, ..Run::default() };
    run::play(&command, scenario::warm_up(server.port(false)?)?, "warm-up", "").await?;
    let text = scenario.text(bench, server.port(scenario.tls)?);
    let (result, verdict) =
        run::play(&command, file::parse(scenario.name, &text)?, scenario.name, &text).await?;
    say(&verdict.words)?;
    server.stop().await?;
    Ok(result)
}

/// Makes accounts on a service without TLS.
async fn register(port: u16, prefix: &str, count: usize) -> Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let service = Target::new(vec![address], "localhost", Transport::Plain, None, false)?;
    run::register(&Arc::new(service), &target::numbered(prefix, "loadtest", count), CONCURRENCY).await
}

async fn against_relay(bench: &Bench, in_flight: usize) -> Result<Value> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("relay")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the relay")?;
    let mut port = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut port).await?;
    let (pairs, pid) = (u32::try_from(bench.users / 2)?, child.id().context("the relay has ended")?);
    let result = relay::load(port.trim().parse()?, pid, pairs, in_flight, 200, bench.seconds).await;
    child.kill().await?;
    result
}

impl Outcome {
    /// Nothing lost, doubled or reordered; with XEP-0198 everything was confirmed.
    pub(crate) fn is_right(&self) -> bool {
        self.runs.iter().all(Self::is_run_right)
    }

    fn is_run_right(run: &Value) -> bool {
        let none = |key: &str| figure(run, key).unwrap_or(0.0) == 0.0;
        ["lost", "doubled", "reordered", "misplaced", "unacked", "errors"].into_iter().all(none)
    }
}

/// A figure of a result.
fn figure(run: &Value, name: &str) -> Option<f64> {
    run.get("figures")?.get(name)?.as_f64()
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::played as result;

    #[test]
    fn the_runs_against_the_server_are_drawn_beside_the_page() {
        let folder = tempfile::tempdir().unwrap();
        let run = result("Starling 1", &[("server-cpu-us-per-operation", 5.0)], &[], &[]).value;
        let of = |kind: fn(&Kind) -> bool, run| {
            let scenario = *ALL.iter().find(|scenario| kind(&scenario.kind)).unwrap();
            Outcome { scenario, runs: vec![run] }
        };
        let relay = of(|kind| matches!(kind, Kind::Relay { .. }), serde_json::json!({ "figures": {} }));
        let chat = of(|kind| matches!(kind, Kind::Chat { .. }), run);
        let played = played(&[relay, chat]).unwrap();
        let shown = page::charts(&played, &folder.path().join("page.md"), "images", "bench").unwrap();
        assert!(shown.ends_with("](images/bench-cpu.png)\n\n"), "{shown}");
        assert!(folder.path().join("images/bench-cpu.png").exists());
    }
}
