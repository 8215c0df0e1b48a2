//! All figures of docs/benchmarks.md: each scenario on a server that was just started, several times, checked.

pub(crate) mod cluster;
mod page;
mod scenario;
mod server;

use crate::options::{Bench, Load, Options};
use crate::sessions::{self, Report};
use crate::{chat, offline, presence, relay};
use anyhow::{Context as _, Result, ensure};
use scenario::{ALL, Kind, Scenario};
use serde_json::{Value, json};
use server::Server;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Accounts that log in and out before memory is measured: code and buffers that any connection needs are there then.
const WARM_UP: usize = 200;

/// One scenario, run several times.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    /// The report of each run.
    pub(crate) runs: Vec<Value>,
}

/// Runs what is wanted, prints the table and writes it; fails if anything was lost, doubled or reordered.
pub(crate) async fn run(options: Arc<Options>, bench: Bench) -> Result<Report> {
    if bench.list {
        let names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        return Ok((json!(names), names.join("\n")));
    }
    let directory = std::env::temp_dir().join(format!("starling-bench-{}", std::process::id()));
    let outcomes = all(&options, &bench, &directory).await;
    let _ = std::fs::remove_dir_all(&directory); // what is left there is temporary by its place
    let outcomes = outcomes?;
    let table = page::table(&outcomes, &bench);
    if let Some(page) = &bench.write {
        page::write(page, &table, "make bench")?;
    }
    let broken: Vec<&str> =
        outcomes.iter().filter(|outcome| !outcome.is_right()).map(|outcome| outcome.scenario.name).collect();
    say(&table)?;
    ensure!(broken.is_empty(), "lost, doubled, reordered or unconfirmed messages in {broken:?}");
    let runs: Vec<Value> =
        outcomes.iter().map(|one| json!({ "name": one.scenario.name, "runs": one.runs })).collect();
    Ok((
        json!({ "load": "bench", "scenarios": runs }),
        "everything sent arrived once and in order".to_owned(),
    ))
}

async fn all(options: &Options, bench: &Bench, directory: &Path) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for scenario in ALL.iter().filter(|scenario| scenario.is_wanted(&bench.only)) {
        let mut runs = Vec::new();
        let repeat = if scenario.kind == Kind::Idle { bench.runs.min(2) } else { bench.runs };
        for run in 0..repeat.max(1) {
            let place = directory.join(format!("{}-{run}", scenario.name));
            let (json, words) = match scenario.kind {
                Kind::Relay { in_flight } => against_relay(options, bench, in_flight).await,
                _ => against_server(scenario, options, bench, &place).await,
            }
            .with_context(|| format!("scenario {}", scenario.name))?;
            say(&format!("{}: {words}", scenario.name))?;
            runs.push(json);
            let _ = std::fs::remove_dir_all(&place); // made anew for each run
        }
        outcomes.push(Outcome { scenario: *scenario, runs });
    }
    Ok(outcomes)
}

/// Accounts are made by one process and used by the next: what registration left in memory is not measured.
async fn against_server(
    scenario: &Scenario,
    options: &Options,
    bench: &Bench,
    directory: &Path,
) -> Result<Report> {
    let mut options = scenario.options(bench, options);
    let server = Server::start(&bench.server, directory, scenario.archive).await?;
    let plain = Options { port: server.port(false)?, tls: false, server_pid: Vec::new(), ..options.clone() };
    sessions::register(Arc::new(plain), options.account_count).await?;
    server.stop().await?;
    let server = Server::start(&bench.server, directory, scenario.archive).await?;
    options.port = server.port(scenario.tls)?;
    options.server_pid = vec![server.pid()];
    let options = Arc::new(options);
    sessions::login(options.clone(), WARM_UP.min(options.account_count)).await?;
    let report = match &options.load {
        Load::Idle { connections, seconds } => sessions::idle(options.clone(), *connections, *seconds).await,
        Load::Login { count } => sessions::login(options.clone(), *count).await,
        Load::Chat(chat) => chat::run(options.clone(), chat.clone()).await,
        Load::Presence { contacts, rounds } => presence::run(options.clone(), *contacts, *rounds).await,
        Load::Offline { pairs, messages } => offline::run(options.clone(), *pairs, *messages).await,
        Load::Register { .. } | Load::Bench(_) | Load::BenchCluster(_) | Load::Relay => {
            Err(anyhow::anyhow!("not a scenario against a server"))
        }
    };
    server.stop().await?;
    report
}

async fn against_relay(options: &Options, bench: &Bench, in_flight: usize) -> Result<Report> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("relay")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the relay")?;
    let mut port = String::new();
    std::io::BufReader::new(child.stdout.take().context("no output")?).read_line(&mut port)?;
    let options = Options { port: port.trim().parse()?, server_pid: vec![child.id()], ..options.clone() };
    let pairs = u32::try_from(bench.users / 2)?;
    let report = relay::load(Arc::new(options), pairs, in_flight, 200, bench.seconds).await;
    child.kill()?;
    child.wait()?;
    report
}

impl Outcome {
    /// Nothing lost, doubled or reordered; with XEP-0198 everything was confirmed.
    pub(crate) fn is_right(&self) -> bool {
        self.runs.iter().all(Self::is_run_right)
    }

    fn is_run_right(run: &Value) -> bool {
        let none = |key: &&str| run.get(*key).and_then(Value::as_u64).unwrap_or(0) == 0;
        let is_confirmed = run.get("sm") != Some(&Value::Bool(true)) || run.get("acked") == run.get("sent");
        ["lost", "doubled", "reordered"].iter().all(none) && is_confirmed
    }
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
