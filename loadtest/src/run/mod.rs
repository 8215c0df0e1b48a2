//! `run`: plays a scenario against a server, says what came out, and whether it is good enough.

mod progress;
mod register;
mod result;

use crate::callgrind::Counter;
use crate::clock::Clock;
use crate::load::{self, Outcome, Stage};
use crate::process::Servers;
use crate::recorder::Recorder;
use crate::scenario::{self, Load, Number, Scenario};
use crate::stamp;
use crate::target::{self, Account, Mechanism, Target, Transport};
use crate::work::{self, Conducted, Remote, Share};
use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

pub(crate) use register::all as register;
#[cfg(test)]
pub(crate) use result::encoded;
pub(crate) use result::{BESIDE, Spent, Verdict};

/// File descriptors that are not for clients.
const SPARE: u64 = 50;

/// Plays a scenario. Exit codes: 0 good, 1 it could not be played, 2 the scenario is wrong, 99 a threshold does not hold.
#[derive(Debug, Clone, Args, Default, Serialize, Deserialize)]
#[serde(default)]
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
    /// Pages of metrics of the server, `http://HOST:PORT/metrics`, which say the same of processes elsewhere.
    #[arg(long, value_delimiter = ',')]
    pub(crate) server_metrics: Vec<String>,
    /// Processes beside the server that it needs, such as databases: `redis=PID`. Their CPU time is shown by name, and not
    /// counted as the server's.
    #[arg(long, value_delimiter = ',', value_parser = crate::options::named)]
    pub(crate) beside: Vec<(String, u32)>,
    /// Processes under callgrind, whose instructions stand in the result.
    #[arg(skip)]
    #[serde(skip)]
    pub(crate) counters: Vec<Arc<Counter>>,
    /// What the server is called in the result, instead of what it says.
    #[arg(long)]
    pub(crate) server_name: Option<String>,
    /// Processes that play this run together, each its share: HOST:PORT of each `starling-loadtest worker`.
    #[arg(long, value_delimiter = ',')]
    pub(crate) workers: Vec<String>,
    /// A file with the word that the workers want to hear.
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
    /// How the link to workers is encrypted.
    #[command(flatten)]
    #[serde(skip)]
    pub(crate) workers_tls: work::Files,
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
    let (stamp, target, mark) = (stamp::json(), Arc::new(aim(run, &scenario)?), random()?);
    let about = |version| result::About {
        version: run.server_name.clone().or(version),
        name,
        text,
        scenario: &scenario,
        stamp,
        target: &target,
    };
    if !run.workers.is_empty() {
        let (recorder, length) = (Arc::new(Recorder::default()), length(&scenario));
        let clock = Arc::new(Clock::new(1, length, scenario.operations.get(), servers(run), None));
        let mut progress = JoinSet::new();
        progress.spawn(progress::tell(recorder.clone(), clock.clone(), length, run.quiet));
        let conducting = work::conduct(run, &scenario, (name, text), mark, &recorder, &clock);
        let done = within(limit(&scenario), conducting).await;
        progress.shutdown().await;
        let Conducted { outcome, server, spent } = done?;
        return result::result(&about(server), &outcome, &recorder, &spent);
    }
    let whole = Share { place: 0, of: 1, run: mark };
    let show = Show::new(run, scenario.clone(), accounts(&scenario)?, whole, None)?;
    let mut progress = JoinSet::new();
    progress.spawn(progress::tell(show.recorder.clone(), show.clock.clone(), length(&scenario), run.quiet));
    let played = show.play().await;
    progress.shutdown().await;
    let (outcome, server) = played?;
    let (before, after) = show.clock.costs().await?;
    result::result(&about(server), &outcome, &show.recorder, &Spent::here(before, after))
}

fn length(scenario: &Scenario) -> Duration {
    Duration::from_secs(scenario.seconds.get())
}

/// No run is without an end.
fn limit(scenario: &Scenario) -> Duration {
    Duration::from_secs(2 * scenario.preparation_seconds.get()) + length(scenario)
}

async fn within<T>(limit: Duration, playing: impl Future<Output = Result<T>>) -> Result<T> {
    let played = tokio::time::timeout(limit, playing).await;
    played.with_context(|| format!("it did not end within {} s", limit.as_secs()))?
}

fn servers(run: &Run) -> Servers {
    Servers {
        pids: run.server_pid.clone(),
        pages: run.server_metrics.clone(),
        beside: run.beside.clone(),
        counters: run.counters.clone(),
    }
}

/// What one process plays: the whole of a run, or its share.
pub(crate) struct Show {
    target: Arc<Target>,
    scenario: Scenario,
    parts: Vec<Part>,
    share: Share,
    remote: Option<Remote>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) clock: Arc<Clock>,
}

/// A load with the accounts that it has here, and the place of the first of them among all of the run.
type Part = (Load, usize, Vec<Arc<Account>>);

impl Show {
    /// The share of a scenario that the command line has had its say in; `accounts` are those of all shares.
    pub(crate) fn new(
        run: &Run,
        mut scenario: Scenario,
        accounts: Vec<Arc<Account>>,
        share: Share,
        remote: Option<Remote>,
    ) -> Result<Self> {
        thin(&mut scenario, share)?;
        let parts = parts(&scenario, &accounts, share);
        ensure!(!parts.is_empty(), "too few accounts for {} workers", share.of);
        descriptors(&scenario, parts.iter().map(|(.., accounts)| accounts.len() as u64).sum())?;
        let (count, operations) = (parts.len(), scenario.operations.get());
        // The controller reads what the server spends; a worker may be elsewhere, and its looks would be counted as well.
        let servers = if remote.is_some() { Servers::default() } else { servers(run) };
        let clock = Clock::new(count, length(&scenario), operations, servers, remote.clone());
        let (clock, recorder) = (Arc::new(clock), Arc::new(Recorder::default()));
        Ok(Self { target: Arc::new(aim(run, &scenario)?), scenario, parts, share, remote, recorder, clock })
    }

    /// What came of it, and what the server calls itself.
    pub(crate) async fn play(&self) -> Result<(Outcome, Option<String>)> {
        within(limit(&self.scenario), self.perform()).await
    }

    async fn perform(&self) -> Result<(Outcome, Option<String>)> {
        let concurrency = self.scenario.target.concurrency.size();
        let accounts: Vec<Arc<Account>> =
            self.parts.iter().flat_map(|(.., accounts)| accounts).cloned().collect();
        if self.scenario.accounts.register && self.scenario.accounts.list.is_none() {
            register(&self.target, &accounts, concurrency).await?;
        }
        let version = register::version(&self.target, &accounts).await;
        if let Some(remote) = &self.remote {
            remote.reach(work::ACCOUNTS).await?;
        }
        let mut tasks = JoinSet::new();
        for (load, first, accounts) in self.parts.clone() {
            let (target, recorder, clock) = (self.target.clone(), self.recorder.clone(), self.clock.clone());
            let drain = Duration::from_secs(self.scenario.drain_seconds.get());
            let stage =
                Stage { target, accounts, first, run: self.share.run, recorder, clock, concurrency, drain };
            tasks.spawn(load::run(stage, load));
        }
        let (mut outcome, is_alone) = (Outcome::default(), self.parts.len() == 1);
        while let Some(done) = tasks.join_next().await {
            let part = done??;
            outcome.findings.add(part.findings);
            let is_meant = |(name, _): &(&str, f64)| is_alone || !Load::is_of_server(name);
            outcome.figures.extend(part.figures.into_iter().filter(is_meant));
        }
        Ok((outcome, version))
    }
}

/// What the command line says instead of the scenario.
pub(crate) fn adjust(run: &Run, scenario: &mut Scenario) {
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
    match &scenario.accounts.list {
        Some(file) => target::listed(file, scenario.accounts.count.size()),
        None => Ok(numbered(scenario)),
    }
}

/// Those of a scenario that lists none.
pub(crate) fn numbered(scenario: &Scenario) -> Vec<Arc<Account>> {
    let config = &scenario.accounts;
    target::numbered(&config.prefix, &config.password, config.count.size())
}

/// Of what a scenario says for the whole run, this share's.
fn thin(scenario: &mut Scenario, share: Share) -> Result<()> {
    fn of<const MIN: u64, const MAX: u64>(number: &mut Number<MIN, MAX>, share: Share) {
        *number = Number::clamp(share.part(number.get()));
    }
    for rate in [
        scenario.chat.as_ref().and_then(|chat| chat.per_second.map(Number::get)),
        scenario.login.as_ref().and_then(|login| login.per_second.map(Number::get)),
    ] {
        ensure!(rate.is_none_or(|rate| rate >= share.of as u64), "too low a rate for {} workers", share.of);
    }
    of(&mut scenario.operations, share);
    of(&mut scenario.target.concurrency, share);
    scenario.chat.iter_mut().filter_map(|chat| chat.per_second.as_mut()).for_each(|rate| of(rate, share));
    scenario.login.iter_mut().filter_map(|login| login.per_second.as_mut()).for_each(|rate| of(rate, share));
    scenario.reconnect.iter_mut().for_each(|reconnect| of(&mut reconnect.at_once, share));
    Ok(())
}

/// Each load with its accounts, an even number, of which each share has as many pairs; one that has none here is left out.
fn parts(scenario: &Scenario, accounts: &[Arc<Account>], share: Share) -> Vec<Part> {
    let loads = scenario.loads();
    let sum: u64 = loads.iter().map(|(_, weight)| weight.unwrap_or(1)).sum();
    let (mut first, mut parts) = (0, Vec::new());
    for (load, weight) in loads {
        let all = accounts.len() as u64 * weight.unwrap_or(1) / sum.max(1);
        let all = usize::try_from(all & !1).unwrap_or(0).max(2);
        let end = accounts.len().min(first + all);
        let place =
            |place: usize| if place == share.of { end } else { first + all / 2 * place / share.of * 2 };
        let (from, to) = (place(share.place), place(share.place + 1));
        let own = accounts.get(from..to).unwrap_or_default().to_vec();
        if !own.is_empty() {
            parts.push((load, from, own));
        }
        first += all;
    }
    parts
}

/// Every client is a file descriptor: as many as may be are asked for.
fn descriptors(scenario: &Scenario, accounts: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }); // what counts is read below
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let each = scenario.hold.as_ref().map_or(1, |hold| hold.per_account.get());
    let wanted = accounts * each + SPARE;
    ensure!(
        wanted <= limit,
        "{wanted} file descriptors are needed, but this process may have only {limit}: divide the run with --workers"
    );
    Ok(())
}

pub(crate) fn random() -> Result<u32> {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}
