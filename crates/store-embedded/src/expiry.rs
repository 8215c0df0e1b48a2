//! What is older than it is kept goes: a walk through the tables, as long as the clock can be believed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Bound;
use std::time::{Duration, Instant};

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_ports::position::Position;

use crate::data::{encode_usage, position_in};
use crate::disk::{Op, Space, Tables, pair};
use crate::seen::Seen;
use crate::{Store, row, with};

/// How many rows are looked at in one step.
const STEP: usize = 2000;
/// How often the tables are walked through, and how often it is said that they are not.
const ROUND: Duration = Duration::from_secs(3600);
/// Which tables: the archive before what leads into it.
const TABLES: [Space; 3] = [Space::Archive, Space::With, Space::Spool];

/// How far expiry has come in a table.
#[derive(Default)]
pub(crate) struct Cursor {
    table: usize,
    key: Vec<u8>,
    /// How many rows of this table have gone in this round.
    gone: usize,
    /// Not before then does the next round begin.
    pause: Option<Instant>,
    looked: Option<Instant>,
    /// When it was said last that the clock is not believed.
    complained: Option<Instant>,
    noted: Option<Seen>,
}

impl Cursor {
    fn tell(&mut self, space: Space) {
        let rows = std::mem::take(&mut self.gone);
        if rows > 0 {
            tracing::info!(
                event = "expired",
                table = space.name(),
                rows,
                "what was older than it is kept is erased"
            );
        }
    }
}

/// 0 is for ever.
fn kept_for(ttl: Duration) -> Duration {
    if ttl.is_zero() { Duration::MAX } else { ttl }
}

/// What one step has found.
#[derive(Default)]
struct Found {
    ops: Vec<Op>,
    seen: usize,
    gone: usize,
    freed: HashMap<BareJid, u64>,
    positions: HashMap<BareJid, Position>,
}

impl Found {
    /// Whether no device has acknowledged it, as far as that is saved.
    fn waits(&mut self, tables: &Tables, owner: &BareJid, id: ArchiveId) -> Result<bool> {
        let position = match self.positions.entry(owner.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(position_in(tables, owner)?),
        };
        Ok(position.low.is_none_or(|low| id > low) && !position.acknowledged.contains(&id))
    }
}

impl Store {
    /// Walks through the tables, a step a call; a round an hour.
    pub(crate) fn expired_rows(&self, cursor: &mut Cursor) -> Result<Vec<Op>> {
        let now = self.clock.now();
        let mut ops = Vec::new();
        if !self.believes(now, cursor, &mut ops) || cursor.pause.is_some_and(|since| since.elapsed() < ROUND)
        {
            return Ok(ops);
        }
        cursor.pause = None;
        let Some(space) = TABLES.get(cursor.table).copied() else {
            (cursor.table, cursor.pause) = (0, Some(Instant::now()));
            return Ok(ops);
        };
        let mut found = Found::default();
        let tables = self.disk.read()?;
        let low = Bound::Excluded(cursor.key.clone());
        for guard in tables.space(space).range((low, Bound::Unbounded)).take(STEP) {
            let (key, value) = pair(guard)?;
            found.seen += 1;
            cursor.key = key.to_vec();
            self.look_at(&tables, space, (&key, &value), now, &mut found)?;
        }
        drop(tables);
        ops.extend(found.ops);
        for (owner, bytes) in found.freed {
            ops.extend(self.free(&owner, bytes)?);
        }
        cursor.gone += found.gone;
        if found.seen < STEP {
            cursor.tell(space);
            cursor.key.clear();
            cursor.table += 1;
        }
        Ok(ops)
    }

    /// Whether the clock may make anything expire. Notes what it says.
    fn believes(&self, now: Timestamp, cursor: &mut Cursor, ops: &mut Vec<Op>) -> bool {
        let since = cursor.looked.replace(Instant::now()).map_or(Duration::ZERO, |looked| looked.elapsed());
        let mut seen = self.seen.lock();
        let beyond = seen.look(now, since);
        let noted = *cursor.noted.get_or_insert(*seen); // a kill soon after a start leaves an older note
        if seen.differs(&noted) {
            ops.push(seen.op());
            cursor.noted = Some(*seen);
        }
        let Some(gap) = beyond else {
            cursor.complained = None;
            return true;
        };
        if cursor.complained.is_none_or(|since| since.elapsed() >= ROUND) {
            cursor.complained = Some(Instant::now());
            tracing::error!(
                event = "clock_not_believed",
                clock = %now.to_xep_0082(),
                ahead_days = gap.as_secs() / (24 * 3600),
                "the clock is far beyond the newest time that the store has seen: nothing expires; set the clock right, or if it \
                 is right start once with store.accept-clock = true, or wait until it has gone on for 24 hours"
            );
        }
        false
    }

    fn look_at(
        &self,
        tables: &Tables,
        space: Space,
        (key, value): (&[u8], &[u8]),
        now: Timestamp,
        found: &mut Found,
    ) -> Result<()> {
        let is_over = |id: ArchiveId, ttl| now.since(Timestamp(id.number)) > ttl; // ids follow the clock (session-log §1)
        let Some(id) = row::id_of(key) else { return Ok(()) };
        let (archive, spool) = (kept_for(self.config.archive_ttl), kept_for(self.config.spool_ttl));
        let ttl = if space == Space::Spool { spool } else { archive };
        if !is_over(id, ttl) {
            return Ok(());
        }
        match space {
            Space::With if tables.get(Space::Archive, &with::key_of_row(key, id))?.is_some() => return Ok(()),
            Space::Archive => {
                let (owner, row) = (row::owner_of(key), row::decode(key, value));
                if let (Some(owner), Ok(row)) = (owner, row) {
                    if row.deliverable && !is_over(id, spool) && found.waits(tables, &owner, id)? {
                        return Ok(());
                    }
                    found.ops.extend(with::remove(&owner, &row));
                    *found.freed.entry(owner).or_default() += row.wire.len() as u64;
                }
            }
            _ => {}
        }
        found.ops.push(Op::Remove(space, key.to_vec()));
        found.gone += 1;
        Ok(())
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
}
