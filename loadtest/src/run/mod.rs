//! `run`: plays a scenario against a server, says what came out, and whether it is good enough.

mod progress;
mod register;
mod result;

use crate::clock::Clock;
use crate::load::{self, Outcome, Stage};
use crate::recorder::Recorder;
use crate::scenario::{self, Load, Number, Scenario};
use crate::stamp;
use crate::target::{self, Account, Mechanism, Target, Transport};
use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

pub(crate) use register::all as register;
pub(crate) use result::Verdict;
#[cfg(test)]
pub(crate) use result::encoded;

/// File descriptors that are not for clients.
const SPARE: u64 = 50;

/// Plays a scenario. Exit codes: 0 good, 1 it could not be played, 2 the scenario is wrong, 99 a threshold does not hold.
#[derive(Debug, Clone, Args, Default)]
pub(crate) struct Run {
    /// The scenario's file, such as loadtest/scenarios/chat-closed.toml.
    pub(crate) scenario: PathBuf,
    /// The name in the result, instead of the file's.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// HOST:PORT instead of the scenario's; clients take several in turn.
    #[arg(long, value_delimiter = ',')]
    pub(crate) target: Vec<String>,
    /// Addresses of this machine from which clients come in turn, such as 127.0.0.2 or 127.0.0.2-127.0.0.9: each has ports of
    /// its own, about 28,000 of them.
    #[arg(long, value_delimiter = ',')]
    pub(crate) source: Vec<String>,
    /// Where the WebSocket is, instead of the scenario's; /ws if neither says.
    #[arg(long)]
    pub(crate) path: Option<String>,
    /// The domain of the accounts, instead of the scenario's.
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// How bytes travel, instead of the scenario's.
    #[arg(long, value_enum)]
    pub(crate) transport: Option<Transport>,
    /// How to log in; the strongest that is offered if neither this nor the scenario says.
    #[arg(long, value_enum)]
    pub(crate) mechanism: Option<Mechanism>,
    /// A file with lines `user,password` instead of the scenario's accounts.
    #[arg(long)]
    pub(crate) accounts: Option<PathBuf>,
    /// How many accounts, instead of the scenario's.
    #[arg(long)]
    pub(crate) count: Option<u64>,
    /// How long to measure, instead of the scenario's.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Processes of the server on this machine, whose CPU time and memory are read before and after.
    #[arg(long, value_delimiter = ',')]
    pub(crate) server_pid: Vec<u32>,
    /// Aim at an address that is not loopback. TLS takes any certificate: use passwords of no worth.
    #[arg(long)]
    pub(crate) i_own_this_target: bool,
    /// Write the whole result to this file; `-` is standard output.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Judge what was lost, doubled or out of order, and no other threshold.
    #[arg(long)]
    pub(crate) correctness_only: bool,
    /// No lines about what is going on.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Plays the scenario of a command line.
pub(crate) async fn run(run: &Run) -> Result<Verdict> {
    let scenario = scenario::read(&run.scenario)?;
    let text = std::fs::read_to_string(&run.scenario)?;
    let stem = run.scenario.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let name = run.name.clone().unwrap_or(stem);
    let (value, verdict) = play(run, scenario, &name, &text).await?;
    if let Some(file) = &run.json {
        write(file, &value)?;
    }
    Ok(verdict)
}

fn write(file: &Path, value: &Value) -> Result<()> {
    let text = format!("{}\n", serde_json::to_string_pretty(value)?);
    if file == Path::new("-") {
        return Ok(std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())?);
    }
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

/// Plays a scenario: its result, and whether that is good enough.
pub(crate) async fn play(
    run: &Run,
    mut scenario: Scenario,
    name: &str,
    text: &str,
) -> Result<(Value, Verdict)> {
    adjust(run, &mut scenario);
    let stamp = stamp::json();
    let target = Arc::new(aim(run, &scenario)?);
    let accounts = accounts(&scenario)?;
    descriptors(&scenario)?;
    let concurrency = scenario.target.concurrency.size();
    let recorder = Arc::new(Recorder::default());
    let limit = Duration::from_secs(2 * scenario.preparation_seconds.get() + scenario.seconds.get());
    let length = Duration::from_secs(scenario.seconds.get());
    let drain = Duration::from_secs(scenario.drain_seconds.get());
    let parts = parts(&scenario, &accounts);
    let clock = Arc::new(Clock::new(parts.len(), length, scenario.operations.get(), run.server_pid.clone()));
    let mut progress = JoinSet::new();
    progress.spawn(progress::tell(recorder.clone(), clock.clone(), length, run.quiet));
    let played = async {
        if scenario.accounts.register && scenario.accounts.list.is_none() {
            register(&target, &accounts, concurrency).await?;
        }
        let version = register::version(&target, &accounts).await;
        let random = random()?;
        let mut tasks = JoinSet::new();
        for (load, first, accounts) in parts.clone() {
            let (target, recorder, clock) = (target.clone(), recorder.clone(), clock.clone());
            let stage = Stage { target, accounts, first, run: random, recorder, clock, concurrency, drain };
            tasks.spawn(load::run(stage, load));
        }
        let (mut outcome, is_alone) = (Outcome::default(), parts.len() == 1);
        while let Some(done) = tasks.join_next().await {
            let part = done??;
            outcome.findings.add(part.findings);
            let is_meant = |(name, _): &(&str, f64)| is_alone || !Load::is_of_server(name);
            outcome.figures.extend(part.figures.into_iter().filter(is_meant));
        }
        anyhow::Ok((outcome, version))
    };
    let played = tokio::time::timeout(limit, played).await;
    progress.shutdown().await;
    let (outcome, version) =
        played.with_context(|| format!("it did not end within {} s", limit.as_secs()))??;
    let about = result::About { name, text, scenario: &scenario, stamp, version, target: &target };
    result::result(&about, &outcome, &recorder, &clock)
}

/// What the command line says instead of the scenario.
fn adjust(run: &Run, scenario: &mut Scenario) {
    if run.correctness_only {
        scenario.conditions.clear(); // what must never happen is judged all the same
    }
    let target = &mut scenario.target;
    if !run.target.is_empty() {
        target.addresses.clone_from(&run.target);
    }
    if !run.source.is_empty() {
        target.sources.clone_from(&run.source);
    }
    target.path = run.path.clone().unwrap_or_else(|| target.path.clone());
    target.domain = run.domain.clone().unwrap_or_else(|| target.domain.clone());
    target.transport = run.transport.unwrap_or(target.transport);
    target.mechanism = run.mechanism.or(target.mechanism);
    scenario.accounts.list = run.accounts.clone().or(scenario.accounts.list.take());
    scenario.seconds = run.seconds.map_or(scenario.seconds, Number::clamp);
    scenario.accounts.count = run.count.map_or(scenario.accounts.count, Number::clamp);
}

fn aim(run: &Run, scenario: &Scenario) -> Result<Target> {
    let config = &scenario.target;
    let addresses =
        config.addresses.iter().map(|address| target::resolve(address)).collect::<Result<Vec<_>>>()?;
    let addresses = addresses.into_iter().flatten().collect();
    let sources = config.sources.iter().map(|text| target::sources(text)).collect::<Result<Vec<_>>>()?;
    let target =
        Target::new(addresses, &config.domain, config.transport, config.mechanism, run.i_own_this_target)?;
    Ok(target.from(sources.into_iter().flatten().collect()).at(&config.path))
}

fn accounts(scenario: &Scenario) -> Result<Vec<Arc<Account>>> {
    let config = &scenario.accounts;
    match &config.list {
        Some(file) => target::listed(file, config.count.size()),
        None => Ok(target::numbered(&config.prefix, &config.password, config.count.size())),
    }
}

/// Each load with its share of the accounts, an even number, and the place of the first.
fn parts(scenario: &Scenario, accounts: &[Arc<Account>]) -> Vec<(Load, usize, Vec<Arc<Account>>)> {
    let loads = scenario.loads();
    let sum: u64 = loads.iter().map(|(_, weight)| weight.unwrap_or(1)).sum();
    let (mut first, mut parts) = (0, Vec::new());
    for (load, weight) in loads {
        let share = accounts.len() as u64 * weight.unwrap_or(1) / sum.max(1);
        let share = usize::try_from(share & !1).unwrap_or(0).max(2);
        let own = accounts.get(first..accounts.len().min(first + share)).unwrap_or_default().to_vec();
        parts.push((load, first, own));
        first += share;
    }
    parts
}

/// Every client is a file descriptor: as many as may be are asked for.
fn descriptors(scenario: &Scenario) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }); // what counts is read below
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let each = scenario.hold.as_ref().map_or(1, |hold| hold.per_account.get());
    let wanted = scenario.accounts.count.get() * each + SPARE;
    ensure!(wanted <= limit, "{wanted} file descriptors are needed, but this process may have only {limit}");
    Ok(())
}

fn random() -> Result<u32> {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}
