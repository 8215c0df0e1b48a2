//! The newest time that the store has seen: a clock far beyond it is not believed, for what expires by it is lost.

use std::time::Duration;

use starling_ports::Result;
use starling_ports::ids::Timestamp;

use crate::codec;
use crate::disk::{Op, Space, Tables, pair};
use crate::row;

const KEY: &[u8] = b"seen";
/// A gap that nobody has to explain: a server that was off for a few days.
const USUAL: Duration = Duration::from_secs(7 * 24 * 3600);
/// A longer one is believed when the clock has gone on from there for so long: a server that was off for a month.
const PROOF: Duration = Duration::from_secs(24 * 3600);
/// How far a clock is set back by those who keep it right.
const SLIGHT: Duration = Duration::from_secs(60);
/// How far a note may be behind.
const RATE: Duration = Duration::from_secs(600);

/// How far the clock is from the newest time that the store has seen, where that wants to be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockGap {
    /// It was set back, or is wrong now.
    Behind(Duration),
    /// The server was off for long, or the clock is wrong: nothing expires by it.
    Beyond(Duration),
}

/// What is known of the clock, and what of it is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Believed.
    newest: Timestamp,
    /// What the clock said last.
    at: Timestamp,
    /// How long it has gone on beyond the usual gap, by a clock that nobody sets.
    ran: Duration,
}

impl Seen {
    /// As noted; of a store without a note, the time of its newest row. A store without rows believes `now`; one whose rows
    /// cannot be read believes nothing.
    pub(crate) fn load(tables: &Tables, now: Timestamp) -> Seen {
        if let Ok(Some(seen)) = Seen::noted(tables) {
            return seen;
        }
        let newest = newest_row(tables).map_or(Timestamp(0), |newest| newest.unwrap_or(now));
        Seen { newest, at: newest, ran: Duration::ZERO }
    }

    fn noted(tables: &Tables) -> Result<Option<Seen>> {
        let Some(stored) = tables.get(Space::Meta, KEY)? else { return Ok(None) };
        let mut value = codec::unseal(KEY, &stored, "the newest time")?;
        let mut time = || value.number();
        let (newest, at, ran) = (Timestamp(time()?), Timestamp(time()?), Duration::from_micros(time()?));
        Ok(Some(Seen { newest, at, ran }))
    }

    /// By order of the operator.
    pub(crate) fn accept(&mut self, now: Timestamp) {
        *self = Seen { newest: now, at: now, ran: Duration::ZERO };
    }

    /// The clock says `now`, `since` after it was looked at last. How far it is beyond belief, if it is.
    pub(crate) fn look(&mut self, now: Timestamp, since: Duration) -> Option<Duration> {
        let gap = now.since(self.newest);
        let is_steady = now.since(self.at) <= USUAL && self.at.since(now) <= USUAL;
        self.at = now;
        if gap <= USUAL && self.newest.since(now) <= USUAL {
            *self = Seen { newest: self.newest.max(now), at: now, ran: Duration::ZERO };
            return None;
        }
        // A clock that was set back is followed in the same way; meanwhile it only makes less expire.
        self.ran = if is_steady { self.ran.saturating_add(since) } else { Duration::ZERO };
        if self.ran >= PROOF {
            tracing::warn!(now = %now.to_xep_0082(), "the clock has gone on for a day: it is believed from now on");
            self.accept(now);
            return None;
        }
        (gap > USUAL).then_some(gap)
    }

    /// How a clock that says `now` stands to it.
    pub(crate) fn gap(&self, now: Timestamp) -> Option<ClockGap> {
        let (behind, beyond) = (self.newest.since(now), now.since(self.newest));
        if beyond > USUAL {
            return Some(ClockGap::Beyond(beyond));
        }
        (behind > SLIGHT).then_some(ClockGap::Behind(behind))
    }

    /// Whether the note `old` is too old.
    pub(crate) fn differs(&self, old: &Seen) -> bool {
        self.at.since(old.at) >= RATE || old.at.since(self.at) >= RATE || self.ran.abs_diff(old.ran) >= RATE
    }

    pub(crate) fn op(&self) -> Op {
        let mut out = codec::out();
        for number in [self.newest.0, self.at.0, u64::try_from(self.ran.as_micros()).unwrap_or(u64::MAX)] {
            out.number(number);
        }
        Op::Put(Space::Meta, KEY.to_vec(), codec::seal(out, KEY))
    }
}

/// When the newest row was received. Jumps from owner to owner: their last rows are enough.
fn newest_row(tables: &Tables) -> Result<Option<Timestamp>> {
    let mut newest = None;
    for space in [Space::Archive, Space::Spool] {
        let table = tables.space(space);
        let mut next = table.iter().next();
        while let Some((key, _)) = next.map(pair).transpose()? {
            let Some(owner) = key.split(|byte| *byte == 0).next() else { break };
            let end = [owner, &[1]].concat();
            if let Some((key, value)) =
                table.range(key.to_vec()..end.clone()).next_back().map(pair).transpose()?
            {
                newest = newest.max(row::decode(&key, &value).ok().map(|row| row.at));
            }
            next = table.range(end..).next();
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const START: Timestamp = Timestamp(1_000_000_000_000_000);

    fn seen() -> Seen {
        Seen { newest: START, at: START, ran: Duration::ZERO }
    }

    #[test]
    fn a_few_days_off_are_believed() {
        let mut seen = seen();
        assert_eq!(seen.look(START.after(DAY * 6), Duration::ZERO), None);
        assert_eq!(seen.look(START.after(DAY * 12), Duration::ZERO), None, "it has moved on");
    }

    #[test]
    fn a_month_off_is_believed_after_a_day() {
        let mut seen = seen();
        let back = START.after(DAY * 30);
        assert_eq!(seen.look(back, Duration::ZERO), Some(DAY * 30));
        for hour in 1..24 {
            let now = back.after(Duration::from_secs(3600) * hour);
            assert!(seen.look(now, Duration::from_secs(3600)).is_some(), "{hour}");
        }
        assert_eq!(seen.look(back.after(DAY), Duration::from_secs(3600)), None);
        assert_eq!(seen.look(back.after(DAY), Duration::ZERO), None);
    }

    #[test]
    fn a_clock_that_jumps_again_begins_its_day_anew() {
        let mut seen = seen();
        let hours = Duration::from_secs(20 * 3600);
        assert!(seen.look(START.after(DAY * 700), Duration::ZERO).is_some());
        assert!(seen.look(START.after(DAY * 700 + hours), hours).is_some());
        assert!(seen.look(START.after(DAY * 1400), hours).is_some());
        assert_eq!(seen.look(START.after(DAY), Duration::ZERO), None, "it came back");
    }
}
