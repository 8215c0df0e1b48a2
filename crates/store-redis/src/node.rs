//! One Redis: its connection, made anew whenever it is lost.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use starling_ports::ids::Life;

use crate::dial::Dialler;
use crate::error::Failure;
use crate::topology::Address;

/// How long a lost connection is left alone at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection that was made, and what it leads to.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) connection: MultiplexedConnection,
    /// Counts connections, of all nodes together: what was learnt over another one is not trusted.
    pub(crate) generation: u64,
    /// Which life of which Redis (rule 8).
    pub(crate) incarnation: Arc<str>,
    /// A digest of it, never 0.
    pub(crate) life: Life,
    /// Since when it is that life. `None`: it was there before this router.
    pub(crate) since: Option<Instant>,
    /// The node of a cluster.
    pub(crate) at: Option<Address>,
    /// When it answered last.
    pub(crate) answered: Arc<Mutex<Instant>>,
}

/// What came of the last attempts to connect.
#[derive(Default)]
struct Dialling {
    pause: Duration,
    failed: Option<Instant>,
}

/// A Redis that takes writes, or did.
#[derive(Default)]
pub(crate) struct Node {
    /// `None`: the one that `url` or the Sentinels name.
    at: Option<Address>,
    /// It took somebody's place.
    is_successor: bool,
    live: Mutex<Option<Live>>,
    /// In which life it was last, and since when.
    last: Mutex<Option<(Life, Option<Instant>)>>,
    dialling: tokio::sync::Mutex<Dialling>,
    generation: AtomicU64,
    is_away: AtomicBool,
}

impl Node {
    pub(crate) fn new(at: Option<Address>) -> Node {
        Node { at, ..Node::default() }
    }

    /// One that was no master when this router began.
    pub(crate) fn successor(at: Address) -> Node {
        Node { is_successor: true, ..Node::new(Some(at)) }
    }

    /// The present connection, or a new one.
    pub(crate) async fn live(&self, dialler: &Dialler) -> Result<Live, Failure> {
        if let Some(live) = self.present() {
            return Ok(live);
        }
        let asked = Instant::now();
        let mut dialling = self.dialling.lock().await;
        if let Some(live) = self.present() {
            return Ok(live);
        }
        if dialling.failed.is_some_and(|failed| failed >= asked) {
            // One has tried for all that waited.
            return Err(Failure::Again(RedisError::from(std::io::Error::from(ErrorKind::NotConnected))));
        }
        tokio::time::sleep(dialling.pause).await;
        // Boxed: else each call of Redis carries the room for a handshake, and is moved with it.
        match Box::pin(self.dial(dialler)).await {
            Ok(live) => {
                *dialling = Dialling::default();
                Ok(live)
            }
            Err(error) => {
                dialling.pause = (dialling.pause * 2).clamp(Duration::from_millis(20), LONGEST_PAUSE);
                dialling.failed = Some(Instant::now());
                self.is_away.store(true, Ordering::Release);
                tracing::warn!(%error, node = %self.name(), "redis cannot be reached, trying again");
                Err(Failure::Again(error))
            }
        }
    }

    async fn dial(&self, dialler: &Dialler) -> Result<Live, RedisError> {
        let fresh = dialler.master(self.at.as_ref()).await?;
        let (incarnation, life) = fresh.incarnation();
        // In this order: who has passed over it as one that is away finds another continuity afterwards.
        self.is_away.store(false, Ordering::Release);
        let generation = dialler.interrupt();
        self.generation.store(generation, Ordering::Release);
        let (since, at, answered) = (self.since(life), self.at.clone(), Arc::new(Mutex::new(Instant::now())));
        let live = Live { connection: fresh.connection, generation, incarnation, life, since, at, answered };
        *self.live.lock() = Some(live.clone());
        Ok(live)
    }

    fn since(&self, life: Life) -> Option<Instant> {
        let mut last = self.last.lock();
        let since = match *last {
            Some((known, since)) if known == life => since,
            Some(_) => Some(Instant::now()),
            None => self.is_successor.then(Instant::now),
        };
        *last = Some((life, since));
        since
    }

    /// A new connection takes the place of the present one, which ends when its last call is answered. Nothing was interrupted
    /// if the same Redis is behind both.
    pub(crate) async fn change_over(&self, dialler: &Dialler) -> Result<(), RedisError> {
        let Some(present) = self.present() else { return Ok(()) };
        let fresh = dialler.master(self.at.as_ref()).await?;
        let mut live = self.live.lock();
        let Some(live) = live.as_mut().filter(|live| live.generation == present.generation) else {
            return Ok(());
        };
        if fresh.incarnation().0 == live.incarnation {
            live.connection = fresh.connection;
        }
        Ok(())
    }

    pub(crate) fn present(&self) -> Option<Live> {
        self.live.lock().clone()
    }

    /// That of the last connection that was made.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether it was lost, and could not be reached since. Nobody has tried yet: then it is not.
    pub(crate) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Acquire)
    }

    /// Nobody could wait any longer until it is reached.
    pub(crate) fn leave(&self) {
        self.is_away.store(self.present().is_none(), Ordering::Release);
    }

    /// Whether it was lost only now.
    pub(crate) fn lose(&self, generation: u64) -> bool {
        let mut live = self.live.lock();
        let is_that = live.as_ref().is_some_and(|live| live.generation == generation);
        if is_that {
            *live = None;
            self.is_away.store(true, Ordering::Release);
        }
        is_that
    }

    fn name(&self) -> String {
        self.at.as_ref().map_or_else(|| "the master".to_owned(), Address::to_string)
    }
}
