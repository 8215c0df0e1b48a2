//! `worker`: waits for a controller, and plays the share of a run that it is given.

use super::pb::instruction::What as Told;
use super::pb::report::What;
use super::pb::worker_server::{Worker, WorkerServer};
use super::pb::{Delta, Done, Instruction, Operation, Plan, Report};
use super::{Files, Remote, Share, TOKEN, bytes, token};
use crate::clock::Clock;
use crate::recorder::{Recorder, micros};
use crate::run::{self, Run};
use crate::scenario;
use crate::target;
use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use futures_util::Stream;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// How often a worker says what it has measured.
const TICK: Duration = Duration::from_secs(1);
/// How long a run that is given up may take to end.
const LEAVING: Duration = Duration::from_secs(5);
/// Reports that wait for the network.
const QUEUE: usize = 16;

/// Plays shares of runs for `run --workers`, until it is ended. Whoever reaches it can make it send load, unless it wants a token or a certificate.
#[derive(Debug, Clone, Args)]
pub(crate) struct Serve {
    /// Where it listens; with port 0 it says which.
    #[arg(long, default_value = "127.0.0.1:7400")]
    pub(crate) listen: SocketAddr,
    /// A file whose word a controller must know.
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
    /// How the link to controllers is encrypted.
    #[command(flatten)]
    pub(crate) tls: Files,
    /// Aim at addresses that are not loopback, if the controller says so too.
    #[arg(long)]
    pub(crate) i_own_this_target: bool,
}

/// Serves one controller after another.
pub(crate) async fn serve(serve: &Serve) -> Result<()> {
    let token = token(serve.token_file.as_deref())?;
    let tls = serve.tls.read()?;
    ensure!(
        tls.is_some() || serve.listen.ip().is_loopback(),
        "{} is reached by others, and nothing is encrypted: that needs --tls-cert, --tls-key and --tls-ca, or a tunnel to an address of loopback",
        serve.listen
    );
    let listener =
        TcpListener::bind(serve.listen).await.with_context(|| format!("listening on {}", serve.listen))?;
    writeln!(std::io::stdout(), "worker on {}", listener.local_addr()?)?;
    let player = Player { token, is_owned: serve.i_own_this_target, stage: Arc::new(Semaphore::new(1)) };
    let mut server = Server::builder().http2_keepalive_interval(Some(Duration::from_secs(5)));
    let server = server.add_service(WorkerServer::new(player));
    let Some(tls) = tls else { return Ok(server.serve_with_incoming(TcpIncoming::from(listener)).await?) };
    let (accepted, mut queue) = mpsc::channel(1);
    let incoming = futures_util::stream::poll_fn(move |context| queue.poll_recv(context));
    tokio::select! {
        served = server.serve_with_incoming(incoming) => Ok(served?),
        () = tls.accept(listener, accepted) => bail!("it takes no connections any more"),
    }
}

struct Player {
    token: String,
    is_owned: bool,
    /// One run at a time.
    stage: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Worker for Player {
    type PlayStream = Reports;

    async fn play(&self, request: Request<Streaming<Instruction>>) -> Result<Response<Reports>, Status> {
        let told = request.metadata().get(TOKEN).map_or(&b""[..], |token| token.as_bytes());
        if !self.token.is_empty() && told != self.token.as_bytes() {
            return Err(Status::unauthenticated("another token is wanted"));
        }
        let stage = timeout(LEAVING, self.stage.clone().acquire_owned()).await;
        let permit = stage.ok().and_then(Result::ok);
        let permit = permit.ok_or_else(|| Status::resource_exhausted("it plays for somebody else"))?;
        let (reports, queue) = mpsc::channel(QUEUE);
        let (mut tasks, is_owned) = (JoinSet::new(), self.is_owned);
        let mut instructions = request.into_inner();
        tasks.spawn(async move {
            let (say, go) = watch::channel(0);
            let remote = Remote { reports, go };
            let Ok(Some(Instruction { what: Some(Told::Plan(plan)) })) = instructions.message().await else {
                return;
            };
            let listening = async {
                while let Ok(Some(instruction)) = instructions.message().await {
                    if let Some(Told::Go(stage)) = instruction.what {
                        let _ = say.send(stage); // whoever waited may have ended
                    }
                }
            };
            let played = tokio::select! {
                played = perform(&remote, plan, is_owned) => played,
                () = listening => return, // nobody wants to know any more
            };
            if let Err(error) = played {
                let _ = remote.report(What::Failed(format!("{error:#}"))).await; // or nobody hears it
            }
        });
        Ok(Response::new(Reports { queue, _tasks: tasks, _permit: permit }))
    }
}

/// What is told; the run ends when nobody listens any more.
struct Reports {
    queue: mpsc::Receiver<Result<Report, Status>>,
    _tasks: JoinSet<()>,
    _permit: OwnedSemaphorePermit,
}

impl Stream for Reports {
    type Item = Result<Report, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        self.queue.poll_recv(context)
    }
}

/// Plays the share of a plan.
async fn perform(remote: &Remote, plan: Plan, is_owned: bool) -> Result<()> {
    let own = env!("CARGO_PKG_VERSION");
    ensure!(plan.version == own, "this is version {own}, not {}", plan.version);
    let mut options: Run = serde_json::from_str(&plan.options)?;
    options.i_own_this_target &= is_owned;
    let mut scenario = scenario::parse(&plan.name, &plan.scenario)?;
    run::adjust(&options, &mut scenario);
    let count = scenario.accounts.count.size();
    let accounts = match plan.accounts.as_str() {
        "" => run::numbered(&scenario),
        listed => target::parsed("the controller's list", listed, count)?,
    };
    scenario.accounts.register &= plan.accounts.is_empty();
    let share = Share { place: plan.place as usize, of: plan.of as usize, run: plan.run };
    let show = run::Show::new(&options, scenario, accounts, share, Some(remote.clone()))?;
    let (recorder, clock) = (show.recorder.clone(), show.clock.clone());
    let telling = async {
        loop {
            tokio::time::sleep(TICK).await;
            remote.report(What::Delta(delta(&recorder, &clock)?)).await?;
        }
    };
    let (outcome, server) = tokio::select! {
        played = show.play() => played?,
        told = telling => return told,
    };
    remote.report(What::Delta(delta(&recorder, &clock)?)).await?;
    let (before, after) = clock.costs().await?;
    let done = Done {
        findings: serde_json::to_string(&outcome.findings)?,
        figures: outcome.figures.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect(),
        own: after.own.saturating_sub(before.own).as_secs_f64() * 1e6,
        measured: after.at.duration_since(before.at).as_secs_f64() * 1e6,
        server: server.unwrap_or_default(),
    };
    remote.report(What::Done(done)).await
}

fn delta(recorder: &Recorder, clock: &Clock) -> Result<Delta> {
    let began = clock.began();
    let since = |at: Instant| {
        let Some(began) = began else { return -1 };
        let (after, before) = (at.saturating_duration_since(began), began.saturating_duration_since(at));
        i64::try_from(micros(after)).unwrap_or(i64::MAX) - i64::try_from(micros(before)).unwrap_or(i64::MAX)
    };
    let operations = recorder.drain().into_iter().map(|(name, interval, first, last)| {
        Ok(Operation {
            name: name.to_owned(),
            histogram: bytes(&interval)?,
            first: since(first),
            last: since(last),
        })
    });
    let operations = operations.collect::<Result<_>>()?;
    Ok(Delta {
        connected: recorder.clients(),
        operations,
        errors: recorder.drain_errors().into_iter().collect(),
    })
}
