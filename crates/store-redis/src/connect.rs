//! The connection: one, multiplexed, made anew whenever it is lost; and what it has learnt of the Redis behind it.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo, RedisError};
use starling_ports::clock::Clock;
use starling_ports::ids::{Life, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use crate::config::Config;
use crate::error::{ConnectError, Failure, is_lost};
use crate::metrics::Metrics;

/// How far Redis's clock may be from ours before it is not believed (session log §1).
const WILD: i64 = 60_000_000;
/// How long a lost connection is left alone at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection that was made, and what it leads to.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) connection: MultiplexedConnection,
    /// Counts connections: what was learnt over a former one is not trusted.
    pub(crate) generation: u64,
    /// Which life of which Redis (rule 8).
    pub(crate) incarnation: Arc<str>,
    /// A digest of it, never 0.
    pub(crate) life: Life,
}

/// What came of the last attempts to connect.
#[derive(Default)]
struct Dialling {
    pause: Duration,
    failed: Option<Instant>,
}

/// What is between a router and its Redis.
pub(crate) struct Link {
    config: Config,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    live: Mutex<Option<Live>>,
    dialling: tokio::sync::Mutex<Dialling>,
    generation: AtomicU64,
    calls: AtomicU64,
    /// Microseconds by which Redis's clock is ahead of ours.
    ahead: AtomicI64,
}

impl Link {
    pub(crate) fn new(config: Config, clock: Arc<dyn Clock>) -> Link {
        Link {
            config,
            clock,
            metrics: Metrics::new(),
            live: Mutex::new(None),
            dialling: tokio::sync::Mutex::default(),
            generation: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            ahead: AtomicI64::new(0),
        }
    }

    /// The present connection, or a new one.
    pub(crate) async fn live(&self) -> Result<Live, Failure> {
        if let Some(live) = self.live.lock().clone() {
            return Ok(live);
        }
        let asked = Instant::now();
        let mut dialling = self.dialling.lock().await;
        if let Some(live) = self.live.lock().clone() {
            return Ok(live);
        }
        if dialling.failed.is_some_and(|failed| failed >= asked) {
            // One has tried for all that waited.
            return Err(Failure::Again(RedisError::from(std::io::Error::from(ErrorKind::NotConnected))));
        }
        tokio::time::sleep(dialling.pause).await;
        match self.dial().await {
            Ok(live) => {
                *dialling = Dialling::default();
                *self.live.lock() = Some(live.clone());
                Ok(live)
            }
            Err(error) => {
                dialling.pause = (dialling.pause * 2).clamp(Duration::from_millis(20), LONGEST_PAUSE);
                dialling.failed = Some(Instant::now());
                tracing::warn!(%error, "redis cannot be reached, trying again");
                Err(Failure::Again(error))
            }
        }
    }

    async fn dial(&self) -> Result<Live, RedisError> {
        let mut info = self.config.url.as_str().into_connection_info()?;
        if let Some(path) = &self.config.password_file {
            let password = tokio::fs::read_to_string(path).await?;
            let settings = info.redis_settings().clone().set_password(password.trim_end());
            info = info.set_redis_settings(settings);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.config.call_timeout))
            .set_response_timeout(Some(self.config.call_timeout));
        let client = Client::open(info)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let server: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let replication: String = redis::cmd("INFO").arg("replication").query_async(&mut connection).await?;
        if field(&server, "loading") == Some("1") {
            return Err(RedisError::from(std::io::Error::other("redis is loading its data")));
        }
        let run = field(&server, "run_id").unwrap_or_default();
        let replid = field(&replication, "master_replid").unwrap_or_default();
        let incarnation: Arc<str> = format!("{run}{replid}").into();
        let life = Life(xxh3_64(incarnation.as_bytes()) | 1);
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.metrics.connections.increment(1);
        Ok(Live { connection, generation, incarnation, life })
    }

    /// The life of the Redis behind the present connection.
    pub(crate) fn known_life(&self) -> Option<Life> {
        self.live.lock().as_ref().map(|live| live.life)
    }

    /// How often a connection was made.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Acquire)
    }

    fn lose(&self, generation: u64) {
        let mut live = self.live.lock();
        if live.as_ref().is_some_and(|live| live.generation == generation) {
            *live = None;
        }
    }

    /// One call; what it is goes to the metrics.
    pub(crate) async fn call<T>(
        &self,
        live: &Live,
        name: &'static str,
        call: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, Failure> {
        self.calls.fetch_add(1, Ordering::AcqRel);
        let begun = Instant::now();
        let result = tokio::time::timeout(self.config.call_timeout, call)
            .await
            .unwrap_or_else(|_| Err(RedisError::from(std::io::Error::from(ErrorKind::TimedOut))));
        self.metrics.call(name, begun.elapsed(), result.is_ok());
        result.map_err(|error| {
            if is_lost(&error) {
                self.lose(live.generation);
            }
            tracing::debug!(%error, name, "redis did not do it");
            Failure::of(error)
        })
    }

    /// One command over the present connection, without another try.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        name: &'static str,
        command: &redis::Cmd,
    ) -> Result<T, Failure> {
        let live = self.live().await?;
        let mut connection = live.connection.clone();
        self.call(&live, name, command.query_async(&mut connection)).await
    }

    /// Several at once.
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &self,
        name: &'static str,
        pipeline: &redis::Pipeline,
    ) -> Result<T, Failure> {
        let live = self.live().await?;
        let mut connection = live.connection.clone();
        self.call(&live, name, pipeline.query_async(&mut connection)).await
    }

    /// Redis has told its time.
    pub(crate) fn told(&self, redis: u64) {
        let ahead = i64::try_from(redis).unwrap_or(i64::MAX).saturating_sub_unsigned(self.clock.now().0);
        let before = self.ahead.swap(ahead, Ordering::AcqRel);
        if ahead.abs() > WILD && before.abs() <= WILD {
            tracing::error!(
                ahead_us = ahead,
                "redis and this router disagree on the time by more than a minute; ids go on without a clock"
            );
        }
    }

    /// The time as all routers see it, and what ids are not below.
    pub(crate) fn now(&self) -> (Timestamp, Timestamp) {
        let (ours, ahead) = (self.clock.now(), self.ahead.load(Ordering::Acquire));
        if ahead.abs() > WILD {
            return (ours, Timestamp(0));
        }
        let now = Timestamp(ours.0.saturating_add_signed(ahead));
        (now, now)
    }

    /// A time by our clock, as all routers see it.
    pub(crate) fn shared(&self, ours: Timestamp) -> Timestamp {
        let ahead = self.ahead.load(Ordering::Acquire);
        if ahead.abs() > WILD { ours } else { Timestamp(ours.0.saturating_add_signed(ahead)) }
    }

    /// Rule 10: what it is told must not be lost behind our backs.
    pub(crate) async fn check(&self) -> Result<(), ConnectError> {
        let said = async {
            let live = self.dial().await?;
            *self.live.lock() = Some(live.clone());
            let mut connection = live.connection;
            let persistence: String =
                redis::cmd("INFO").arg("persistence").query_async(&mut connection).await?;
            let memory: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await?;
            Ok((persistence, memory))
        };
        let (persistence, memory) = said
            .await
            .map_err(|source: RedisError| ConnectError::Unreachable { url: self.shown_url(), source })?;
        if field(&persistence, "aof_enabled") != Some("1") && !self.config.accept_no_append_only_file {
            return Err(ConnectError::Unsafe {
                what: "keeps no append-only file, so its restart loses sessions",
                setting: "appendonly yes",
                accept: "accept-no-append-only-file",
            });
        }
        if field(&memory, "maxmemory_policy") != Some("noeviction") && !self.config.accept_eviction {
            return Err(ConnectError::Unsafe {
                what: "evicts keys when its memory is full, and sessions with them",
                setting: "maxmemory-policy noeviction",
                accept: "accept-eviction",
            });
        }
        Ok(())
    }

    /// Without what is secret in it.
    fn shown_url(&self) -> String {
        match self.config.url.split_once('@') {
            Some((before, host)) => {
                let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
                format!("{scheme}://{host}")
            }
            None => self.config.url.clone(),
        }
    }
}

/// A line of what INFO says.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
