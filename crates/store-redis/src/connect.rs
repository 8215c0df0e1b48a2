//! What is between a router and its Redis: whom a call goes to, how long it may take, and what time it is there.

mod batch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::RedisError;
use starling_ports::clock::Clock;
use starling_ports::ids::{Life, Timestamp};

use crate::check::{Found, survey};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::dial::{Dialler, Files};
use crate::error::{ConnectError, Failure, is_elsewhere, is_lost};
use crate::keys;
use crate::node::{Live, Node};
use crate::time::SharedTime;
use crate::together::together;
use crate::topology::moved;

pub(crate) use batch::Lost;

/// Sooner no Redis is killed, started again, and asked by another router.
const CERTAIN_FOR: Duration = Duration::from_millis(50);

pub(crate) struct Link {
    dialler: Arc<Dialler>,
    time: Arc<SharedTime>,
    /// Where there is no cluster, all keys are here.
    one: Arc<Node>,
    cluster: Option<Cluster>,
    files: Mutex<Files>,
    calls: AtomicU64,
}

impl Link {
    /// Finds all of it, and looks whether it keeps what it is told (rule 10).
    pub(crate) async fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Link, ConnectError> {
        let dialler = Arc::new(Dialler::new(config));
        let files = Mutex::new(dialler.files().await);
        let cluster = match survey(&dialler).await? {
            Found::One => None,
            Found::Cluster(seeds, drawn) => Some(Cluster::new(seeds, drawn, &dialler)),
        };
        let (calls, time) = (AtomicU64::new(0), Arc::new(SharedTime::new(clock)));
        Ok(Link { dialler, time, one: Arc::new(Node::new(None)), cluster, files, calls })
    }

    /// The connection to whoever has the key.
    pub(crate) async fn live(&self, key: &str) -> Result<Live, Failure> {
        let Some(cluster) = &self.cluster else { return self.one.live(&self.dialler).await };
        let node = cluster.owner(key.as_bytes(), &self.dialler).await?;
        node.live(&self.dialler).await.inspect_err(|_| self.suspect())
    }

    fn masters(&self) -> Vec<Arc<Node>> {
        match &self.cluster {
            Some(cluster) => cluster.masters().into_values().collect(),
            None => vec![self.one.clone()],
        }
    }

    /// Whether there is any key, on whichever master.
    pub(crate) async fn holds_anything(&self) -> Result<bool, Failure> {
        for node in self.masters() {
            let live = node.live(&self.dialler).await?;
            let mut connection = live.connection.clone();
            let size = redis::cmd("DBSIZE");
            let keys: u64 = self.call(&live, "size", size.query_async(&mut connection)).await?;
            if keys > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether whoever has the key was lost, and could not be reached since.
    pub(crate) fn is_away(&self, key: &str) -> bool {
        self.node(key).is_some_and(|node| node.is_away())
    }

    /// Whoever is away is looked for, all at once: nobody else may need them for a while.
    pub(crate) async fn look_for_lost(&self) {
        let away: Vec<Arc<Node>> = self.masters().into_iter().filter(|node| node.is_away()).collect();
        if away.is_empty() {
            return;
        }
        self.suspect(); // another node may have taken its place
        together(away.iter().map(|node| node.live(&self.dialler)).collect()).await;
    }

    fn suspect(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.suspect();
        }
    }

    fn node(&self, key: &str) -> Option<Arc<Node>> {
        match &self.cluster {
            Some(cluster) => cluster.known_owner(key.as_bytes()),
            None => Some(self.one.clone()),
        }
    }

    /// The connection to whoever has the key, if there is one now.
    pub(crate) fn present(&self, key: &str) -> Option<Live> {
        self.node(key)?.present()
    }

    /// The life of the Redis that has the key, if it has answered just now. Who has said nothing for longer may have died, come back
    /// as it once was, and been found so by another router.
    pub(crate) fn certain_life(&self, key: &str) -> Option<Life> {
        let live = self.present(key)?;
        let is_fresh = live.answered.lock().elapsed() < CERTAIN_FOR;
        is_fresh.then_some(live.life)
    }

    /// Whether the Redis that has the key took the place of another one less than `within` ago, or came back as another one; while it is
    /// away it may do so.
    pub(crate) fn is_younger(&self, key: &str, within: Duration) -> bool {
        let is_young = |live: Live| live.since.is_some_and(|since| since.elapsed() < within);
        self.present(key).is_none_or(is_young)
    }

    /// Of the last connection to whoever has the key.
    pub(crate) fn generation(&self, key: &str) -> u64 {
        self.node(key).map_or(0, |node| node.generation())
    }

    /// Another number than before: a connection was made, or one to a part of a cluster was lost.
    pub(crate) fn continuity(&self) -> u64 {
        self.dialler.continuity()
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Acquire)
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
        let result = self.dialler.in_time(call).await;
        let ended = Instant::now();
        if result.is_ok() {
            *live.answered.lock() = ended;
        }
        self.dialler.metrics.call(name, ended.duration_since(begun), result.is_ok());
        result.map_err(|error| self.failed(live, name, error))
    }

    /// What an answer says of where things are is heeded before anybody asks again (rule 25).
    fn failed(&self, live: &Live, name: &'static str, error: RedisError) -> Failure {
        tracing::debug!(%error, name, "redis did not do it");
        match (&self.cluster, &live.at) {
            (Some(cluster), Some(at)) => {
                if let Some((slot, to)) = moved(&error, at) {
                    cluster.moved(slot, &to);
                } else if is_lost(&error) {
                    let node = cluster.masters().get(at).cloned();
                    if node.is_some_and(|node| node.lose(live.generation)) {
                        // The next call may go to another node, and would not notice (rule 8).
                        self.dialler.interrupt();
                    }
                    cluster.suspect();
                } else if !is_elsewhere(&error) {
                    cluster.suspect();
                }
            }
            _ if is_lost(&error) => drop(self.one.lose(live.generation)),
            _ => {}
        }
        Failure::of(error)
    }

    /// What is secret has changed: every connection is made anew with it, one after the other. Those that cannot be stay.
    pub(crate) async fn change_over(&self) {
        let present = self.dialler.files().await;
        if *self.files.lock() == present {
            return;
        }
        for node in self.masters() {
            if let Err(error) = node.change_over(&self.dialler).await {
                tracing::warn!(%error, "redis does not take the changed password or certificate, the former holds");
                return;
            }
        }
        *self.files.lock() = present;
        tracing::info!("the connections to redis were made anew with a changed password or certificate");
    }

    /// Redis has told its time. In a cluster one node's holds for all: the one with the leases.
    pub(crate) fn told(&self, live: &Live, redis: u64) {
        if self.cluster.is_none() || self.generation(keys::NODES) == live.generation {
            self.time.told(redis);
        }
    }

    /// Where it is a cluster, steps of accounts seldom tell it.
    pub(crate) async fn look_at_the_clock(&self) -> Result<(), Failure> {
        if self.cluster.is_some() { self.ask_the_clock().await } else { Ok(()) }
    }

    pub(crate) async fn ask_the_clock(&self) -> Result<(), Failure> {
        let live = self.live(keys::NODES).await?;
        let mut connection = live.connection.clone();
        let time = redis::cmd("TIME");
        let (seconds, micros): (u64, u64) =
            self.call(&live, "time", time.query_async(&mut connection)).await?;
        self.told(&live, seconds.saturating_mul(1_000_000).saturating_add(micros));
        Ok(())
    }

    /// The time as all routers see it, and what ids are not below.
    pub(crate) fn now(&self) -> (Timestamp, Timestamp) {
        self.time.times()
    }

    /// The former, for whoever else is to go by it.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.time.clone()
    }

    /// A time by our clock, as all routers see it.
    pub(crate) fn shared(&self, ours: Timestamp) -> Timestamp {
        self.time.shared(ours)
    }

    /// Changes whenever leases that are not over may seem to be: what held them was lost, or the time was moved. `None`: they are not to
    /// be judged here.
    pub(crate) fn watch(&self) -> Option<(u64, u64)> {
        Some((self.generation(keys::NODES), self.time.jumps()?))
    }
}
