//! Group commit: one thread writes what many wait for, with one fsync for all of them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use starling_ports::Result;
use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::disk::{Disk, Journalled, Op};
use crate::error::{OpenError, unavailable};

/// How many writes wait at most; whoever comes then waits for a place.
const QUEUE: usize = 1024;
/// How many bytes go into one group at most.
const GROUP_BYTES: usize = 4 * 1024 * 1024;
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
        let work = Work { disk, journalled, sync: config.sync, delay: config.commit_delay, failed: None };
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let thread = thread.spawn(move || work.run(requests));
        let thread = thread.map_err(|error| OpenError::new(&root, error, "raise the limit of threads"))?;
        Ok(Writer { queue, thread: parking_lot::Mutex::new(Some(thread)) })
    }

    /// Returns when `ops` are on the disk, all or none.
    pub(crate) async fn write(&self, ops: Vec<Op>) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        let (done, wait) = oneshot::channel();
        let sent = self.queue.send(Request::Write(ops, Some(done))).await;
        sent.map_err(|_| unavailable("the store is closed"))?;
        match wait.await {
            Ok(result) => result.map_err(unavailable),
            Err(_) => Err(unavailable("the store is closed")),
        }
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

    /// Writes what waits, then ends. The second time it does nothing.
    pub(crate) fn stop(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        let _ = self.push(Request::Stop); // refused only if it has ended already
        if thread.join().is_err() {
            tracing::error!("the writer of the store panicked");
        }
    }
}

/// What the thread owns.
struct Work {
    disk: Arc<Disk>,
    journalled: Journalled,
    sync: bool,
    delay: Duration,
    failed: Option<(Instant, Refused)>,
}

impl Work {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let (mut ops, mut waiting, mut bytes, mut next) = (Vec::new(), Vec::new(), 0, Some(first));
            let mut stop = false;
            while let Some(request) = next.take() {
                let Request::Write(more, done) = request else {
                    stop = true;
                    break;
                };
                bytes += more.iter().map(size).sum::<usize>();
                ops.extend(more);
                waiting.extend(done);
                if bytes < GROUP_BYTES {
                    next = requests.try_recv().ok();
                }
            }
            if !self.delay.is_zero() && !waiting.is_empty() {
                std::thread::sleep(self.delay);
            }
            let result = if ops.is_empty() { Ok(()) } else { self.group(ops, !waiting.is_empty()) };
            for done in waiting {
                let _ = done.send(result.clone()); // nobody waits any more
            }
            if stop {
                return;
            }
        }
    }

    /// One batch. After a failure the database is opened again before the next one, but not more often than once a `PAUSE`.
    fn group(&mut self, mut ops: Vec<Op>, urgent: bool) -> Result<(), Refused> {
        if let Some((since, why)) = &self.failed {
            if since.elapsed() < PAUSE {
                return Err(why.clone());
            }
            self.attempt(|work| work.disk.reopen())?;
            self.failed = None;
            tracing::info!("the store writes again");
        }
        let number = self.journalled.last + 1;
        ops.push(Journalled::op(number));
        let sync = self.sync && urgent;
        self.attempt(|work| work.disk.write(ops, sync))?;
        self.journalled.written(number);
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

fn size(op: &Op) -> usize {
    match op {
        Op::Put(_, key, value) => key.len() + value.len(),
        Op::Remove(_, key) => key.len(),
    }
}
