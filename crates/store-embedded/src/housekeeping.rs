//! What is done now and then: saving positions, emptying the spool, expiring, unloading.

use std::collections::HashMap;
use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::ids::Timestamp;

use crate::data::{encode_position, encode_usage};
use crate::disk::{Op, Space, pair};
use crate::error::OpenError;
use crate::{Store, row};

/// How often positions are saved: so much may be repeated after a kill.
const OFTEN: Duration = Duration::from_millis(250);
/// How often slots are unloaded.
const SELDOM: Duration = Duration::from_secs(30);
/// How long a slot lies unused before it is unloaded.
const IDLE: Duration = Duration::from_secs(600);
/// How many rows are looked at in one step of expiry.
const STEP: usize = 2000;

/// A thread that does it until it is stopped.
pub(crate) struct Housekeeping(Mutex<Option<(mpsc::Sender<()>, JoinHandle<()>)>>);

impl Housekeeping {
    pub(crate) fn new() -> Housekeeping {
        Housekeeping(Mutex::new(None))
    }

    pub(crate) fn start(&self, store: &Arc<Store>) -> Result<(), OpenError> {
        let (stop, stopped) = mpsc::channel();
        let weak = Arc::downgrade(store);
        let thread =
            std::thread::Builder::new().name("store-keeper".to_owned()).spawn(move || keep(&weak, &stopped));
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

fn keep(store: &Weak<Store>, stopped: &mpsc::Receiver<()>) {
    let (mut last, mut cursor) = (Instant::now(), Cursor::default());
    while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(OFTEN) {
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
            store.slots.unload(store.clock.now(), IDLE);
        }
    }
}

/// How far expiry has come in a table.
#[derive(Default)]
pub(crate) struct Cursor {
    table: usize,
    key: Vec<u8>,
    /// Not before then does the next round begin.
    pause: Option<Instant>,
}

const ROUND: Duration = Duration::from_secs(3600);

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

    /// The archive of `owner` has lost so many bytes.
    fn free(&self, owner: &BareJid, bytes: u64) -> Result<Option<Op>> {
        if let Some(slot) = self.slots.loaded(owner) {
            let mut slot = slot.lock();
            slot.count_archived(0, bytes);
            self.slots.enlist(&mut slot);
            return Ok(None);
        }
        Ok(Some(encode_usage(owner, self.archived_now(owner)?.saturating_sub(bytes))))
    }

    /// Walks through the tables, a step a call; a round an hour.
    pub(crate) fn expired_rows(&self, cursor: &mut Cursor) -> Result<Vec<Op>> {
        if cursor.pause.is_some_and(|since| since.elapsed() < ROUND) {
            return Ok(Vec::new());
        }
        let tables = [
            (Space::Archive, self.config.archive_ttl),
            (Space::With, self.config.archive_ttl),
            (Space::Spool, self.config.spool_ttl),
        ];
        let Some((space, ttl)) = tables.get(cursor.table).copied() else {
            *cursor = Cursor { pause: Some(Instant::now()), ..Cursor::default() };
            return Ok(Vec::new());
        };
        let micros = u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX);
        cursor.pause = None;
        let until = Timestamp(self.clock.now().0.saturating_sub(micros));
        let tables = self.disk.read()?;
        let (mut ops, mut seen, mut freed) = (Vec::new(), 0, HashMap::<BareJid, u64>::new());
        let low = std::ops::Bound::Excluded(cursor.key.clone());
        for guard in tables.space(space).range((low, std::ops::Bound::Unbounded)).take(STEP) {
            let (key, value) = pair(guard)?;
            seen += 1;
            cursor.key = key.to_vec();
            if row::id_of(&key).is_some_and(|id| id.number < until.0) {
                ops.push(Op::Remove(space, cursor.key.clone())); // ids follow the clock (session-log §1)
                if let (Space::Archive, Some(owner)) = (space, row::owner_of(&key)) {
                    let bytes = row::decode(&key, &value).map_or(0, |row| row.wire.len() as u64);
                    *freed.entry(owner).or_default() += bytes;
                }
            }
        }
        drop(tables);
        for (owner, bytes) in freed {
            ops.extend(self.free(&owner, bytes)?);
        }
        if seen < STEP {
            cursor.key.clear();
            cursor.table += 1;
        }
        Ok(ops)
    }
}
