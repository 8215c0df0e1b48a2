//! What is done now and then: saving positions, emptying the spool, expiring, unloading.

use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_ports::Result;

use crate::data::{encode_position, encode_usage};
use crate::disk::{Op, Space};
use crate::error::OpenError;
use crate::expiry::Cursor;
use crate::{Store, row};

/// How often slots are unloaded.
const SELDOM: Duration = Duration::from_secs(30);
/// How long a slot lies unused before it is unloaded.
const IDLE: Duration = Duration::from_secs(600);

/// A thread that does it until it is stopped.
pub(crate) struct Housekeeping(Mutex<Option<(mpsc::Sender<()>, JoinHandle<()>)>>);

impl Housekeeping {
    pub(crate) fn new() -> Housekeeping {
        Housekeeping(Mutex::new(None))
    }

    pub(crate) fn start(&self, store: &Arc<Store>) -> Result<(), OpenError> {
        let (stop, stopped) = mpsc::channel();
        let (weak, often) = (Arc::downgrade(store), store.config.save_every);
        let thread = std::thread::Builder::new().name("store-keeper".to_owned());
        let thread = thread.spawn(move || keep(&weak, often, &stopped));
        let thread =
            thread.map_err(|error| OpenError::new(store.disk.root(), error, "raise the limit of threads"))?;
        *self.0.lock() = Some((stop, thread));
        Ok(())
    }

    pub(crate) fn stop(&self) {
        let Some((stop, thread)) = self.0.lock().take() else { return };
        drop(stop);
        // The last handle of the store may be let go by the thread itself.
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            tracing::error!("the housekeeping of the store panicked");
        }
    }
}

fn keep(store: &Weak<Store>, often: Duration, stopped: &mpsc::Receiver<()>) {
    let (mut last, mut cursor) = (Instant::now(), Cursor::default());
    while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(often) {
        let Some(store) = store.upgrade() else { return };
        let _writing = store.removed.writing_blocking();
        let mut ops = store.changed_positions();
        match store.expired_rows(&mut cursor) {
            Ok(removals) => ops.extend(removals),
            Err(error) => tracing::warn!(%error, "cannot look for expired rows"),
        }
        if let Err(error) = store.writer.later_blocking(ops) {
            tracing::debug!(%error, "positions are not saved");
        }
        if last.elapsed() >= SELDOM {
            last = Instant::now();
            let sizes = store.writer.later_blocking(store.changed_sizes());
            sizes.unwrap_or_else(|error| tracing::debug!(%error, "sizes of archives are not saved"));
            store.slots.unload(store.clock.now(), &store.limits, IDLE);
        }
    }
}

impl Store {
    /// Positions that are to be saved, and rows of the spool that were acknowledged.
    pub(crate) fn changed_positions(&self) -> Vec<Op> {
        let mut ops = Vec::new();
        self.slots.each_changed(|slot| {
            let owner = slot.account().clone();
            let (position, bytes) = (slot.take_position(), slot.take_archived());
            if !self.is_gone(&owner).unwrap_or(false) {
                ops.extend(position.map(|position| encode_position(&owner, &position)));
                ops.extend(bytes.map(|bytes| encode_usage(&owner, bytes)));
            }
            let gone = slot.take_collected();
            ops.extend(gone.into_iter().map(|id| Op::Remove(Space::Spool, row::key(&owner, id))));
        });
        ops
    }

    /// Sizes of archives that are to be saved.
    pub(crate) fn changed_sizes(&self) -> Vec<Op> {
        let mut ops = Vec::new();
        self.slots.each(|shared| {
            let mut slot = shared.lock();
            let size = slot.take_archived();
            ops.extend(size.map(|bytes| encode_usage(slot.account(), bytes)));
        });
        ops
    }
}
