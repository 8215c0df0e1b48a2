//! A drain: what this process holds goes to others, at a set pace, and nothing new is taken, until it stops or is told to go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use parking_lot::Mutex;
use starling_admin::messages::DrainAnswer;
use starling_connection_manager::{DrainConfig, Hub, drain, longest_drain};
use starling_rpc::link::server::Downlinks;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::admin::Health;
use crate::reload::Clients;

/// How long clients that have come and not signed in yet may take to: they would be told of an error in the middle of it.
const STRANGERS_WITHIN: Duration = Duration::from_secs(3);
/// How often its metrics say how far it has come.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether they have gone.
const LOOKED_EVERY: Duration = Duration::from_millis(20);

/// What goes elsewhere, and how far that has come.
pub(crate) struct Drain {
    health: Arc<Health>,
    goes: Goes,
    tasks: TaskTracker,
    progress: watch::Sender<Progress>,
    turn: Mutex<Turn>,
}

/// What this process holds.
pub(crate) struct Goes {
    /// Why it stays, where there is nobody to take it.
    pub(crate) refused: Option<&'static str>,
    pub(crate) sockets: Option<Sockets>,
    pub(crate) downlinks: Option<Arc<Downlinks>>,
}

/// The clients of a connection manager.
pub(crate) struct Sockets {
    pub(crate) hub: Arc<Hub>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) config: DrainConfig,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Progress {
    #[default]
    Serving,
    Draining {
        since: Instant,
        within: Duration,
    },
    Drained {
        since: Instant,
    },
}

/// What ends the drain under way early.
#[derive(Debug, Default)]
struct Turn {
    /// All go at once.
    hurry: CancellationToken,
    /// It is called off.
    abort: CancellationToken,
}

impl Drain {
    pub(crate) fn new(health: Arc<Health>, goes: Goes, tasks: TaskTracker) -> Arc<Drain> {
        Arc::new(Drain { health, goes, tasks, progress: watch::Sender::default(), turn: Mutex::default() })
    }

    /// Begins, unless it has begun. Clients are refused from now on, and those that are here go.
    pub(crate) fn start(self: &Arc<Self>) -> Result<()> {
        if let Some(why) = self.goes.refused {
            bail!("{why}");
        }
        let mut turn = self.turn.lock();
        if *self.progress.borrow() != Progress::Serving {
            return Ok(());
        }
        *turn = Turn::default();
        let (since, within) = (Instant::now(), self.longest());
        info!(?within, sessions = self.sessions(), links = self.links(), "draining");
        self.progress.send_replace(Progress::Draining { since, within });
        self.health.not_ready();
        if let Some(Sockets { clients, .. }) = &self.goes.sockets {
            clients.listeners.open(false);
        }
        let (drain, hurry, abort) = (self.clone(), turn.hurry.clone(), turn.abort.clone());
        self.tasks.spawn(async move {
            let done = abort.run_until_cancelled(drain.run(&hurry)).await;
            let _turn = drain.turn.lock(); // not while it is called off
            if done.is_some() && !abort.is_cancelled() {
                info!(took = ?since.elapsed(), "drained");
                drain.progress.send_replace(Progress::Drained { since });
            }
        });
        Ok(())
    }

    /// All that are left go at once.
    pub(crate) fn hurry(&self) {
        self.turn.lock().hurry.cancel();
    }

    /// Clients may come again; those that have gone stay where they are.
    pub(crate) fn abort(&self) -> bool {
        let turn = self.turn.lock();
        if *self.progress.borrow() == Progress::Serving {
            return false;
        }
        turn.abort.cancel();
        if let Some(Sockets { clients, .. }) = &self.goes.sockets {
            clients.listeners.open(true);
        }
        if let Some(downlinks) = &self.goes.downlinks {
            downlinks.stay();
        }
        self.health.ready();
        self.progress.send_replace(Progress::Serving);
        info!("the drain was called off");
        true
    }

    /// Begins if it must, and waits for the end.
    pub(crate) async fn finish(self: &Arc<Self>) {
        if self.start().is_ok() {
            let mut progress = self.progress.subscribe();
            let _ = progress.wait_for(|now| !matches!(now, Progress::Draining { .. })).await;
        }
    }

    /// Sockets and links at the same time: those who hang on a link are others' clients.
    async fn run(&self, hurry: &CancellationToken) {
        let sockets = async {
            let Some(Sockets { hub, clients, config }) = &self.goes.sockets else { return };
            let mut left = drain(hub, config, hurry).await;
            if hurry.is_cancelled() {
                let at_once = DrainConfig { window: Duration::ZERO, max_rate: 0 };
                left = drain(hub, &at_once, &CancellationToken::new()).await;
            }
            if left > 0 {
                warn!(sessions = left, "sessions have not gone in their time");
            }
            let strangers = async {
                while clients.listeners.has_strangers() {
                    tokio::time::sleep(LOOKED_EVERY).await;
                }
            };
            let _ = hurry.run_until_cancelled(timeout(STRANGERS_WITHIN, strangers)).await;
        };
        let links = async {
            if let Some(downlinks) = &self.goes.downlinks {
                downlinks.leave().await;
            }
        };
        tokio::join!(sockets, links);
    }

    fn longest(&self) -> Duration {
        let sockets = self.goes.sockets.as_ref();
        sockets.map_or(Duration::ZERO, |Sockets { hub, config, .. }| longest_drain(hub.len(), config))
    }

    /// Says how far it has come, until `stop`: at once when it begins or ends, and again and again meanwhile.
    pub(crate) async fn tell(self: Arc<Self>, stop: CancellationToken) {
        let mut progress = self.progress.subscribe();
        loop {
            let state = match *progress.borrow_and_update() {
                Progress::Serving => 0,
                Progress::Draining { .. } => 1,
                Progress::Drained { .. } => 2,
            };
            crate::metrics::drain(state, self.sessions(), self.links());
            let next = async {
                match state {
                    0 => drop(progress.changed().await),
                    _ => drop(timeout(TOLD_EVERY, progress.changed()).await),
                }
            };
            if stop.run_until_cancelled(next).await.is_none() {
                return;
            }
        }
    }

    /// How many sessions have a socket here.
    pub(crate) fn sessions(&self) -> Option<usize> {
        self.goes.sockets.as_ref().map(|sockets| sockets.hub.len())
    }

    /// How many connection managers have a link to this router.
    pub(crate) fn links(&self) -> Option<usize> {
        self.goes.downlinks.as_ref().map(|downlinks| downlinks.count())
    }

    /// In one word.
    pub(crate) fn state(&self) -> &'static str {
        match *self.progress.borrow() {
            Progress::Serving => "serving",
            Progress::Draining { .. } => "draining",
            Progress::Drained { .. } => "drained",
        }
    }

    /// For people and programs.
    pub(crate) fn status(&self) -> DrainAnswer {
        let (since, within) = match *self.progress.borrow() {
            Progress::Serving => (None, None),
            Progress::Draining { since, within } => (Some(since), Some(within)),
            Progress::Drained { since } => (Some(since), None),
        };
        DrainAnswer {
            state: self.state().to_owned(),
            seconds: since.map(|since| since.elapsed().as_secs()),
            within_seconds: within.map(|within| within.as_secs()),
            sessions: self.sessions().map(|count| count as u64),
            links: self.links().map(|count| count as u64),
            ..DrainAnswer::default()
        }
    }
}
