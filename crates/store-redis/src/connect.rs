//! What is between a router and its Redis: whom a call goes to, how long it may take, and what time it is there.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue, RedisError, Value, from_redis_value};
use starling_ports::clock::Clock;
use starling_ports::ids::{Life, Timestamp};

use crate::check::{Found, survey};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::dial::{Dialler, Files};
use crate::error::{ConnectError, Failure, is_elsewhere, is_lost};
use crate::keys;
use crate::node::{Live, Node};
use crate::topology::moved;

/// How far Redis's clock may be from ours before it is not believed (session log §1).
const WILD: i64 = 60_000_000;
/// How often a command that is no step is sent after its key, and what is waited before, at first.
const AFTER: (usize, Duration) = (5, Duration::from_millis(5));

/// Commands with their places in a batch.
type Placed<'a> = Vec<(usize, &'a Cmd)>;

pub(crate) struct Link {
    dialler: Arc<Dialler>,
    clock: Arc<dyn Clock>,
    /// Where there is no cluster, all keys are here.
    one: Arc<Node>,
    cluster: Option<Cluster>,
    files: Mutex<Files>,
    calls: AtomicU64,
    /// Microseconds by which Redis's clock is ahead of ours.
    ahead: AtomicI64,
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
        let (calls, ahead) = (AtomicU64::new(0), AtomicI64::new(0));
        Ok(Link { dialler, clock, one: Arc::new(Node::new(None)), cluster, files, calls, ahead })
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

    /// The life of the Redis that has the key.
    pub(crate) fn known_life(&self, key: &str) -> Option<Life> {
        self.node(key)?.present().map(|live| live.life)
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
        let result = tokio::time::timeout(self.dialler.config.call_timeout, call)
            .await
            .unwrap_or_else(|_| Err(RedisError::from(std::io::Error::from(ErrorKind::TimedOut))));
        self.dialler.metrics.call(name, begun.elapsed(), result.is_ok());
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

    /// One command, which begins with its name and its key.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        name: &'static str,
        command: &Cmd,
    ) -> Result<T, Failure> {
        let answer = self.batch(name, std::slice::from_ref(command)).await?.pop();
        from_redis_value(answer.unwrap_or(Value::Nil)).map_err(|error| Failure::of(error.into()))
    }

    /// Several at once that have nothing to do with each other: each node gets its own together, and one that is away holds back
    /// nothing that goes to others. The answers are in the order of the commands. A command whose key has moved goes after it; so
    /// each must be one that may be done twice.
    pub(crate) async fn batch(&self, name: &'static str, commands: &[Cmd]) -> Result<Vec<Value>, Failure> {
        let mut answers = vec![Value::Nil; commands.len()];
        let mut left: Placed<'_> = commands.iter().enumerate().collect();
        let (mut pause, mut tries) = (AFTER.1, AFTER.0);
        loop {
            let (mut elsewhere, mut failed) = (None, None);
            for (node, part) in self.apart(std::mem::take(&mut left)).await? {
                let (live, said) = match self.send(name, &node, &part).await {
                    Ok(said) => said,
                    Err(failure) => {
                        failed = Some(failure);
                        continue;
                    }
                };
                for ((at, command), answer) in part.into_iter().zip(said) {
                    if let Value::ServerError(error) = answer {
                        let error = RedisError::from(error);
                        let is_elsewhere = is_elsewhere(&error);
                        let failure = self.failed(&live, name, error);
                        if is_elsewhere {
                            left.push((at, command));
                            elsewhere = Some(failure);
                        } else {
                            failed = Some(failure);
                        }
                    } else if let Some(place) = answers.get_mut(at) {
                        *place = answer;
                    }
                }
            }
            tries -= 1;
            match (failed, elsewhere) {
                (Some(failure), _) => return Err(failure),
                (None, None) => return Ok(answers),
                (None, Some(failure)) if tries == 0 => return Err(failure),
                (None, Some(_)) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
    }

    /// By the nodes that they go to.
    async fn apart<'a>(&self, commands: Placed<'a>) -> Result<Vec<(Arc<Node>, Placed<'a>)>, Failure> {
        let mut apart: Vec<(Arc<Node>, Placed<'_>)> = Vec::new();
        for (at, command) in commands {
            let node = match &self.cluster {
                Some(cluster) => cluster.owner(key_of(command).as_bytes(), &self.dialler).await?,
                None => self.one.clone(),
            };
            match apart.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &node)) {
                Some((_, part)) => part.push((at, command)),
                None => apart.push((node, vec![(at, command)])),
            }
        }
        Ok(apart)
    }

    async fn send(
        &self,
        name: &'static str,
        node: &Node,
        part: &[(usize, &Cmd)],
    ) -> Result<(Live, Vec<Value>), Failure> {
        let live = node.live(&self.dialler).await.inspect_err(|_| self.suspect())?;
        let mut pipeline = redis::pipe();
        for (_, command) in part {
            pipeline.add_command((*command).clone());
        }
        let mut connection = live.connection.clone();
        let asked = pipeline.ignore_errors().query_async::<Vec<Value>>(&mut connection);
        let said = self.call(&live, name, asked).await?;
        Ok((live, said))
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
        if self.cluster.is_some() && self.generation(keys::NODES) != live.generation {
            return;
        }
        let ahead = i64::try_from(redis).unwrap_or(i64::MAX).saturating_sub_unsigned(self.clock.now().0);
        let before = self.ahead.swap(ahead, Ordering::AcqRel);
        if ahead.abs() > WILD && before.abs() <= WILD {
            tracing::error!(
                ahead_us = ahead,
                "redis and this router disagree on the time by more than a minute; ids go on without a clock"
            );
        }
    }

    /// Where it is a cluster, steps of accounts seldom tell it.
    pub(crate) async fn look_at_the_clock(&self) -> Result<(), Failure> {
        if self.cluster.is_some() {
            let live = self.live(keys::NODES).await?;
            let mut connection = live.connection.clone();
            let time = redis::cmd("TIME");
            let (seconds, micros): (u64, u64) =
                self.call(&live, "time", time.query_async(&mut connection)).await?;
            self.told(&live, seconds.saturating_mul(1_000_000).saturating_add(micros));
        }
        Ok(())
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
}

/// What stands behind the name.
fn key_of(command: &Cmd) -> String {
    let key = command.args_iter().nth(1);
    match key {
        Some(redis::Arg::Simple(key)) => String::from_utf8_lossy(key).into_owned(),
        _ => String::new(),
    }
}
