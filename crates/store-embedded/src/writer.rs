//! Group commit: one thread writes what many wait for, with one fsync for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use starling_ports::Result;
use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::disk::{Disk, Op};
use crate::error::{OpenError, unavailable};
use crate::journal::Journalled;
use crate::metrics::Metrics;
use crate::reserve::{self, Reserve};
use crate::room::Room;
use starling_slot::Promise;

/// How many writes wait at most; whoever comes then waits for a place.
const QUEUE: usize = 1024;
/// How many bytes go into one group at most.
const GROUP_BYTES: usize = 4 * 1024 * 1024;
/// How many writes that nobody waits for outlive a failure; they save work after a kill, no more.
const KEPT: usize = 20_000;
/// How long the disk is left alone after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Ends the writer's queue.
type Done = oneshot::Sender<Result<(), Refused>>;

/// Why a group was not written: one text for all who waited.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(Arc<str>);

enum Request {
    /// With nobody who waits it need not be on the disk at once.
    Write(Vec<Op>, Option<Done>),
    Stop,
}

/// The way to the writer.
pub(crate) struct Writer {
    queue: mpsc::Sender<Request>,
    room: Arc<Room>,
    failing: Arc<AtomicBool>,
    thread: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(crate) fn start(
        disk: Arc<Disk>,
        journalled: Journalled,
        config: &Config,
    ) -> Result<Writer, OpenError> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let root = disk.root().to_owned();
        let failing = Arc::new(AtomicBool::new(false));
        let room = Arc::new(Room::new(&root, config.min_free_bytes));
        let work = Work {
            failing: failing.clone(),
            room: room.clone(),
            reserve: Reserve::hold(&root),
            disk,
            journalled,
            sync: config.sync,
            delay: config.commit_delay,
            failed: None,
            kept: Vec::new(),
            metrics: Metrics::new(),
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let thread = thread.spawn(move || work.run(requests));
        let thread = thread.map_err(|error| OpenError::new(&root, error, "raise the limit of threads"))?;
        Ok(Writer { queue, room, failing, thread: parking_lot::Mutex::new(Some(thread)) })
    }

    /// Returns when `ops` are on the disk, all or none.
    pub(crate) async fn write(&self, ops: Vec<Op>) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        self.send(ops).await
    }

    async fn send(&self, ops: Vec<Op>) -> Result<()> {
        let (done, wait) = oneshot::channel();
        let sent = self.queue.send(Request::Write(ops, Some(done))).await;
        sent.map_err(|_| unavailable("the store is closed"))?;
        match wait.await {
            Ok(result) => result.map_err(unavailable),
            Err(_) => Err(unavailable("the store is closed")),
        }
    }

    /// Whether nothing new is to be taken: the last write failed, or the next one may.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed) || self.room.is_short()
    }

    /// Whether what is new could be written; after a failure it is tried.
    pub(crate) async fn probe(&self) -> Result<()> {
        self.send(Vec::new()).await
    }

    /// Written with the next group, without being waited for: a kill may lose it.
    pub(crate) async fn later(&self, ops: Vec<Op>) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        self.queue.send(Request::Write(ops, None)).await.map_err(|_| unavailable("the store is closed"))
    }

    /// The same from a thread that may block.
    pub(crate) fn later_blocking(&self, ops: Vec<Op>) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        self.queue.blocking_send(Request::Write(ops, None)).map_err(|_| unavailable("the store is closed"))
    }

    /// The same from anywhere, for the beginning and the end of the store: waits by sleeping.
    pub(crate) fn later_now(&self, ops: Vec<Op>) -> Result<()> {
        if ops.is_empty() { Ok(()) } else { self.push(Request::Write(ops, None)) }
    }

    /// As `write`, from anywhere, for the beginning of the store: waits by sleeping.
    pub(crate) fn write_now(&self, ops: Vec<Op>) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        let (done, mut wait) = oneshot::channel();
        self.push(Request::Write(ops, Some(done)))?;
        loop {
            match wait.try_recv() {
                Ok(result) => return result.map_err(unavailable),
                Err(oneshot::error::TryRecvError::Closed) => return Err(unavailable("the store is closed")),
                Err(oneshot::error::TryRecvError::Empty) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Not `blocking_send`, which panics inside a runtime.
    fn push(&self, mut request: Request) -> Result<()> {
        loop {
            match self.queue.try_send(request) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(unavailable("the store is closed")),
                Err(mpsc::error::TrySendError::Full(back)) => request = back,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether it takes nothing any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.thread.lock().is_none()
    }

    /// Writes what waits, then ends. The second time it does nothing.
    pub(crate) fn stop(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        let _ = self.push(Request::Stop); // refused only if it has ended already
        if thread.join().is_err() {
            tracing::error!("the writer of the store panicked");
        }
    }
}

/// What is written with one fsync.
#[derive(Default)]
struct Group {
    ops: Vec<Op>,
    /// Those of them that nobody waits for.
    later: Vec<Op>,
    waiting: Vec<Done>,
}

impl Group {
    /// Takes all requests that wait, up to a bound; says whether the last one was to stop.
    fn gather(&mut self, first: Request, requests: &mut mpsc::Receiver<Request>) -> bool {
        let (mut bytes, mut next) = (0, Some(first));
        self.later = self.ops.clone();
        while let Some(request) = next.take() {
            let Request::Write(more, done) = request else { return true };
            bytes += more.iter().map(Op::size).sum::<usize>();
            if done.is_none() {
                self.later.extend_from_slice(&more);
            }
            match self.ops.is_empty() {
                true => self.ops = more, // mostly the only one
                false => self.ops.extend(more),
            }
            self.waiting.extend(done);
            if bytes < GROUP_BYTES {
                next = requests.try_recv().ok();
            }
        }
        false
    }
}

/// What the thread owns.
struct Work {
    room: Arc<Room>,
    reserve: Reserve,
    failing: Arc<AtomicBool>,
    disk: Arc<Disk>,
    journalled: Journalled,
    sync: bool,
    delay: Duration,
    failed: Option<(Instant, Refused)>,
    /// What nobody waits for and a failed group has left: it goes with the next one, before it.
    kept: Vec<Op>,
    metrics: Metrics,
}

impl Work {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut group = Group { ops: std::mem::take(&mut self.kept), ..Group::default() };
            let stop = group.gather(first, &mut requests);
            if Promise::StoreBeforeAck.is_broken() {
                std::thread::sleep(Duration::from_millis(50)); // as on a slow disk: a kill finds something to lose
            }
            if !self.delay.is_zero() && !group.waiting.is_empty() && !group.ops.is_empty() {
                std::thread::sleep(self.delay);
            }
            let later = if group.later.len() <= KEPT { group.later } else { Vec::new() };
            let result = match group.ops.is_empty() {
                true => self.probe(group.waiting.is_empty()),
                false => self.write(group.ops, &group.waiting, later),
            };
            for done in group.waiting {
                let _ = done.send(result.clone()); // nobody waits any more
            }
            if stop {
                return;
            }
        }
    }

    /// Could something new be written? After a failure it is tried; `idle`: nobody asks.
    fn probe(&mut self, idle: bool) -> Result<(), Refused> {
        if idle {
            return Ok(());
        }
        if self.room.is_short() {
            return Err(Refused("the disk is full or read-only".into()));
        }
        if self.failed.is_some() {
            let tried = self.group(Vec::new(), true);
            return self.tried(tried);
        }
        if !self.reserve.stands() {
            self.reserve.renew();
        }
        let stands = self.reserve.stands();
        self.tried(if stands { Ok(()) } else { Err(Refused("the disk is full".into())) })
    }

    /// Notes whether anything new is to be taken.
    fn tried(&self, result: Result<(), Refused>) -> Result<(), Refused> {
        self.failing.store(result.is_err() || !self.reserve.stands(), Ordering::Relaxed);
        result
    }

    /// Also where the room is short: what was taken is written if it can be.
    fn write(&mut self, ops: Vec<Op>, waiting: &[Done], later: Vec<Op>) -> Result<(), Refused> {
        let result = self.group(ops, !waiting.is_empty());
        let result = self.tried(result);
        self.metrics.waiting.record(waiting.len() as f64);
        if result.is_err() {
            self.metrics.failures.increment(1);
            self.kept = later;
        }
        result
    }

    /// One batch. After a failure the database is opened again before the next one, but not more often than once a `PAUSE`,
    /// and not without room: what is open can be read at least.
    fn group(&mut self, mut ops: Vec<Op>, urgent: bool) -> Result<(), Refused> {
        if let Some((since, why)) = &self.failed {
            if since.elapsed() < PAUSE || self.room.is_short() {
                return Err(why.clone());
            }
            self.attempt(|work| work.disk.reopen())?;
            self.failed = None;
            self.reserve.renew(); // the journal was cut
            tracing::info!("the store writes again");
        }
        let number = self.journalled.last + 1;
        ops.push(Journalled::op(number));
        let sync = self.sync && urgent;
        let (begun, size) = (Instant::now(), reserve::size(&ops));
        self.attempt(|work| work.disk.write(ops, sync))?;
        self.metrics.write.record(begun.elapsed());
        self.journalled.written(number);
        self.reserve.used(size);
        Ok(())
    }

    fn attempt(&mut self, step: impl FnOnce(&Work) -> Result<()>) -> Result<(), Refused> {
        step(self).map_err(|error| {
            let source =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            tracing::error!(error = %source, "the store cannot write");
            let refused = Refused(source.into());
            self.failed = Some((Instant::now(), refused.clone()));
            refused
        })
    }
}
