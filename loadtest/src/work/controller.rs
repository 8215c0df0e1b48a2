//! `run --workers`: hands out shares, lets all begin at once, and merges what comes back: histograms as histograms.

use super::pb::instruction::What as Told;
use super::pb::report::What;
use super::pb::worker_client::WorkerClient;
use super::pb::{Delta, Done, Instruction, Plan, Report};
use super::tls::Tls;
use super::{ACCOUNTS, MEASURED, READY, TOKEN, read, token};
use crate::check::Findings;
use crate::clock::{Clock, Costs};
use crate::load::Outcome;
use crate::recorder::Recorder;
use crate::run::{Run, Spent};
use crate::scenario::{Load, Scenario};
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status, Streaming};

/// A worker must be reached within this.
const CONNECT: Duration = Duration::from_secs(10);
/// Workers tell something each second; one that says nothing for so long is dead.
const SILENCE: Duration = Duration::from_secs(30);
/// Reports that wait to be merged.
const QUEUE: usize = 256;

/// What came of a run of several workers.
pub(crate) struct Conducted {
    pub(crate) outcome: Outcome,
    pub(crate) server: Option<String>,
    pub(crate) spent: Spent,
}

/// One worker, as the controller knows it.
struct Hand {
    address: String,
    instructions: mpsc::Sender<Instruction>,
    reached: u32,
    connected: i64,
    done: Option<Done>,
}

/// Plays `text` on all workers of the command line. `recorder` and `clock` are the whole run's.
pub(crate) async fn conduct(
    run: &Run,
    scenario: &Scenario,
    (name, text): (&str, &str),
    mark: u32,
    recorder: &Arc<Recorder>,
    clock: &Arc<Clock>,
) -> Result<Conducted> {
    let is_open = |address: &&String| !run.workers_tls.is_given() && !is_near(address);
    if let Some(far) = run.workers.iter().find(is_open) {
        bail!(
            "worker {far} is not on loopback, and nothing is encrypted: that needs --tls-cert, --tls-key and --tls-ca, or a tunnel"
        );
    }
    let tls = run.workers_tls.read()?;
    let (sender, mut reports) = mpsc::channel(QUEUE);
    let (mut readers, mut hands) = (JoinSet::new(), Vec::new());
    let accounts = match &scenario.accounts.list {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?,
        None => String::new(),
    };
    for (place, address) in run.workers.iter().enumerate() {
        let plan = Plan {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: name.to_owned(),
            scenario: text.to_owned(),
            options: serde_json::to_string(run)?,
            accounts: accounts.clone(),
            run: mark,
            place: u32::try_from(place)?,
            of: u32::try_from(run.workers.len())?,
        };
        let engaged =
            engage(run, tls.as_ref(), address, plan).await.with_context(|| format!("worker {address}"))?;
        let (hand, stream) = engaged;
        readers.spawn(listen(place, stream, sender.clone()));
        hands.push(hand);
    }
    drop(sender);
    let loads: Vec<Load> = scenario.loads().into_iter().map(|(load, _)| load).collect();
    let mut whole = Whole { loads, hands, recorder, clock, prepared: None };
    while whole.hands.iter().any(|hand| hand.done.is_none()) {
        let (place, report) = reports.recv().await.context("all workers are gone")?;
        let address = whole.hands.get(place).map(|hand| hand.address.clone()).unwrap_or_default();
        let taken = match report {
            Ok(report) => whole.take(place, report).await,
            Err(why) => Err(why),
        };
        taken.with_context(|| format!("worker {address} broke the run"))?;
    }
    whole.end(scenario).await
}

/// Whether nobody on the way can read what is said there. A name may lead anywhere.
fn is_near(address: &str) -> bool {
    address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
        || address.starts_with("localhost:")
}

async fn engage(
    run: &Run,
    tls: Option<&Tls>,
    address: &str,
    plan: Plan,
) -> Result<(Hand, Streaming<Report>)> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(CONNECT);
    let channel = match tls {
        Some(tls) => endpoint.connect_with_connector(tls.connector(address)?).await,
        None => endpoint.connect().await,
    };
    let channel = channel.context("it cannot be reached")?;
    let (instructions, mut queue) = mpsc::channel(8);
    instructions.send(Instruction { what: Some(Told::Plan(plan)) }).await?;
    let stream = futures_util::stream::poll_fn(move |context| queue.poll_recv(context));
    let mut request = Request::new(stream);
    let token = token(run.token_file.as_deref())?;
    if !token.is_empty() {
        request.metadata_mut().insert(TOKEN, token.parse()?);
    }
    let answered =
        timeout(CONNECT, WorkerClient::new(channel).play(request)).await.context("it does not answer")?;
    let stream = answered.map_err(|status| refusal(&status))?.into_inner();
    let (address, reached, connected, done) = (address.to_owned(), 0, 0, None);
    Ok((Hand { address, instructions, reached, connected, done }, stream))
}

/// What a worker said, or what may be behind it that it said nothing: who is refused by TLS hears only that the connection is gone.
fn refusal(status: &Status) -> anyhow::Error {
    match status.code() {
        Code::Unauthenticated | Code::ResourceExhausted => anyhow::anyhow!("{}", status.message()),
        _ => anyhow::anyhow!(
            "it ended the connection ({}): has it TLS, and does it believe this certificate? its own output says why",
            status.message()
        ),
    }
}

/// Hands on what one worker tells, until it is done or gone.
async fn listen(place: usize, mut stream: Streaming<Report>, reports: mpsc::Sender<(usize, Result<Report>)>) {
    loop {
        let report = match timeout(SILENCE, stream.message()).await {
            Ok(Ok(Some(report))) => Ok(report),
            Ok(Ok(None)) => Err(anyhow::anyhow!("it ended before the run did")),
            Ok(Err(status)) => Err(anyhow::anyhow!("its connection was lost: {}", status.message())),
            Err(_) => Err(anyhow::anyhow!("it said nothing for {} s", SILENCE.as_secs())),
        };
        let is_last = report.as_ref().map_or(true, |report| matches!(report.what, Some(What::Done(_))));
        if reports.send((place, report)).await.is_err() || is_last {
            return;
        }
    }
}

/// The run of all workers together.
struct Whole<'a> {
    loads: Vec<Load>,
    hands: Vec<Hand>,
    recorder: &'a Recorder,
    clock: &'a Clock,
    /// What the servers had spent when the accounts were there.
    prepared: Option<Costs>,
}

impl Whole<'_> {
    async fn take(&mut self, place: usize, report: Report) -> Result<()> {
        match report.what {
            Some(What::Reached(stage)) => self.reached(place, stage).await,
            Some(What::Delta(delta)) => self.merge(place, &delta),
            Some(What::Done(done)) => {
                self.hands.get_mut(place).into_iter().for_each(|hand| hand.done = Some(done.clone()));
                Ok(())
            }
            Some(What::Failed(why)) => bail!("{why}"),
            None => bail!("it says what this version does not know"),
        }
    }

    /// A stage is over when all have reached it.
    async fn reached(&mut self, place: usize, stage: u32) -> Result<()> {
        if stage == MEASURED {
            return self.clock.end().await;
        }
        self.hands.get_mut(place).into_iter().for_each(|hand| hand.reached = stage);
        if self.hands.iter().any(|hand| hand.reached < stage) {
            return Ok(());
        }
        if stage == ACCOUNTS {
            self.prepared = Some(self.clock.costs_now().await?);
        }
        if stage == READY {
            self.clock.begin().await?;
        }
        for hand in &self.hands {
            let sent = hand.instructions.send(Instruction { what: Some(Told::Go(stage)) }).await;
            sent.ok().with_context(|| format!("{} is gone", hand.address))?;
        }
        Ok(())
    }

    /// Histograms are added, not percentiles.
    fn merge(&mut self, place: usize, delta: &Delta) -> Result<()> {
        let began = self.clock.began().unwrap_or_else(Instant::now);
        let at = |micros: i64| {
            let distance = Duration::from_micros(micros.unsigned_abs());
            if micros < 0 { began.checked_sub(distance).unwrap_or(began) } else { began + distance }
        };
        for operation in &delta.operations {
            let known = self.loads.iter().flat_map(|load| load.operations());
            let name = known.copied().find(|known| *known == operation.name);
            let name = name.with_context(|| format!("no operation is called {:?}", operation.name))?;
            self.recorder.merge(name, &read(&operation.histogram)?, at(operation.first), at(operation.last));
        }
        for (error, count) in &delta.errors {
            self.recorder.errors_of(error, *count);
        }
        if let Some(hand) = self.hands.get_mut(place) {
            self.recorder.connected(delta.connected - hand.connected);
            hand.connected = delta.connected;
        }
        Ok(())
    }

    async fn end(self, scenario: &Scenario) -> Result<Conducted> {
        let (mut outcome, mut figures) = (Outcome::default(), BTreeMap::<&'static str, f64>::new());
        let (mut own, mut share, mut server) = (0.0, 0.0_f64, None);
        let known: Vec<&'static str> =
            self.loads.iter().flat_map(|load| load.figures()).copied().chain(["unacked"]).collect();
        for done in self.hands.iter().filter_map(|hand| hand.done.as_ref()) {
            outcome.findings.add(serde_json::from_str::<Findings>(&done.findings)?);
            for name in &known {
                if let (Some(figure), false) = (done.figures.get(*name), Load::is_of_server(name)) {
                    *figures.entry(name).or_default() += figure;
                }
            }
            own += done.own;
            share = share.max(done.own / done.measured.max(1.0));
            server = server.or_else(|| Some(done.server.clone()).filter(|server| !server.is_empty()));
        }
        let (before, after) = self.clock.costs().await?;
        if let ([Load::Hold(hold)], Some(prepared)) = (self.loads.as_slice(), &self.prepared) {
            let count = (scenario.accounts.count.get() * hold.per_account.get()).max(1) as f64;
            figures.insert("bytes-per-connection", before.server.rss_since(&prepared.server) as f64 / count);
            let seconds = after.at.duration_since(before.at).as_secs_f64().max(0.001);
            let idle = after.server.cpu_us_since(&before.server) / seconds;
            figures.insert("server-cpu-us-per-second-idle", idle);
        }
        outcome.figures = figures.into_iter().collect();
        Ok(Conducted { outcome, server, spent: Spent { before, after, own, share } })
    }
}
