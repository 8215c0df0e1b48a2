//! The slots of all accounts on Redis, shared by all session routers.
#![forbid(unsafe_code)]

mod attempts;
mod cells;
mod check;
mod cluster;
mod config;
mod connect;
mod dial;
mod error;
mod facts;
mod housekeeping;
mod index;
mod keys;
mod list;
mod metrics;
mod node;
mod nodes;
mod packed;
mod random;
mod record;
mod renewals;
mod riders;
mod rights;
mod scripts;
mod sessions;
mod step;
mod sweep;
mod time;
mod together;
mod topology;

use std::sync::Arc;

use starling_ports::BoxError;
use starling_ports::clock::Clock;
use starling_slot::Limits;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use check::check;
pub use config::{Config, Invalid, Tls};
pub use error::ConnectError;
pub use facts::Ports;
pub use rights::RIGHTS;

/// Whether the Redis of `config` holds anything: whoever fills the other stores beside it must know that it knows better.
pub async fn holds_anything(config: Config, clock: Arc<dyn Clock>) -> Result<bool, BoxError> {
    let link = connect::Link::open(config, clock).await?;
    Ok(link.holds_anything().await.map_err(sweep::ours)?)
}

/// The slots of all accounts, as one router sees them.
pub struct Sessions {
    config: Config,
    limits: Limits,
    ports: Ports,
    link: connect::Link,
    scripts: scripts::Scripts,
    cells: cells::Cells,
    metrics: metrics::Metrics,
    /// Of this life of this router.
    name: String,
    watched: sweep::Watched,
    waiting: riders::Waiting,
    random: random::Random,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("router", &self.name).finish_non_exhaustive()
    }
}

impl Sessions {
    /// Connects, and checks that Redis keeps what it is told. Tasks are born in `tasks` and end with `stop`.
    pub async fn connect(
        config: Config,
        ports: Ports,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Result<Arc<Sessions>, ConnectError> {
        let limits = Limits {
            stanzas: config.log_max_stanzas,
            bytes: config.log_max_bytes,
            resume_within: config.resume_within,
            owed_for: std::time::Duration::from_secs(5),
        };
        let random = random::Random::default();
        let sessions = Arc::new(Sessions {
            link: connect::Link::open(config.clone(), ports.clock.clone()).await?,
            limits,
            ports,
            scripts: scripts::Scripts::new(),
            cells: cells::Cells::new(config.kept_bytes),
            metrics: metrics::Metrics::new(),
            name: keys::router(random.next()),
            watched: sweep::Watched::default(),
            waiting: riders::Waiting::default(),
            random,
            tasks,
            stop,
            config,
        });
        if let Err(failure) = sessions.link.ask_the_clock().await {
            tracing::debug!(?failure, "redis has not told the time yet");
        }
        sessions.tasks.spawn(sessions.clone().keep_house());
        sessions.tasks.spawn(sessions.clone().keep_in_touch());
        Ok(sessions)
    }

    /// The time that all routers share: Redis's, however far this machine's clock is from it, unless they disagree by more than a minute
    /// from the start.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.link.clock()
    }

    /// How many calls were made so far: commits and reads of accounts, indexes, leases.
    pub fn calls(&self) -> u64 {
        self.link.calls()
    }

    pub(crate) fn random(&self) -> u64 {
        self.random.next()
    }
}
