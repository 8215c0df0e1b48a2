//! What this process has done with messages lately: a bounded memory that an administrator asks by a message's id.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use starling_jid::{BareJid, FullJid};

use crate::clock::Clock;
use crate::ids::{ArchiveId, LogNumber, SessionId, Timestamp};

/// How many events of each kind are remembered: at a thousand messages a second, the last eight seconds.
const MOST: usize = 8192;

/// Something that was done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its row is in the store, so its sender may be told.
    Stored,
    /// It was written to a device's socket, under this number.
    Written(FullJid, LogNumber),
    /// The device has acknowledged it (XEP-0198).
    Acknowledged(FullJid, LogNumber),
}

/// The last events of this process. It holds addresses and ids, no contents.
pub struct Trail {
    clock: Arc<dyn Clock>,
    rings: Mutex<Rings>,
}

#[derive(Default)]
struct Rings {
    stored: VecDeque<(Timestamp, BareJid, ArchiveId)>,
    written: VecDeque<(Timestamp, ArchiveId, SessionId, FullJid, LogNumber)>,
    acknowledged: VecDeque<(Timestamp, SessionId, LogNumber)>,
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trail")
    }
}

impl Trail {
    /// Nothing has been done yet.
    pub fn new(clock: Arc<dyn Clock>) -> Trail {
        Trail { clock, rings: Mutex::default() }
    }

    /// Rows of `owner` are stored.
    pub fn stored(&self, owner: &BareJid, ids: impl IntoIterator<Item = ArchiveId>) {
        let now = self.clock.now();
        let mut rings = self.rings.lock();
        for id in ids {
            push(&mut rings.stored, (now, owner.clone(), id));
        }
    }

    /// An entry was taken to be written to a session's socket.
    pub fn written(&self, id: ArchiveId, session: SessionId, device: &FullJid, number: LogNumber) {
        let event = (self.clock.now(), id, session, device.clone(), number);
        push(&mut self.rings.lock().written, event);
    }

    /// A session's client has everything up to `upto`.
    pub fn acknowledged(&self, session: SessionId, upto: LogNumber) {
        push(&mut self.rings.lock().acknowledged, (self.clock.now(), session, upto));
    }

    /// What is remembered of one message, in the order of time.
    pub fn of(&self, owner: &BareJid, id: ArchiveId) -> Vec<(Timestamp, Event)> {
        let rings = self.rings.lock();
        let stored = rings.stored.iter().filter(|(_, of, one)| *one == id && of == owner);
        let mut events: Vec<_> = stored.map(|(at, ..)| (*at, Event::Stored)).collect();
        let written = rings.written.iter().filter(|(_, one, ..)| *one == id);
        for (at, _, session, device, number) in written.filter(|(.., device, _)| device.bare() == *owner) {
            events.push((*at, Event::Written(device.clone(), *number)));
            // Numbers of a session are never given twice: the first one that covers it is its own.
            let covers = |(_, of, upto): &&(Timestamp, SessionId, LogNumber)| of == session && upto >= number;
            if let Some((at, ..)) = rings.acknowledged.iter().find(covers) {
                events.push((*at, Event::Acknowledged(device.clone(), *number)));
            }
        }
        events.sort_by_key(|(at, _)| *at);
        events.dedup_by(|one, other| one.1 == other.1);
        events
    }
}

fn push<T>(ring: &mut VecDeque<T>, event: T) {
    if ring.len() >= MOST {
        ring.pop_front();
    }
    ring.push_back(event);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn id(number: u64) -> ArchiveId {
        ArchiveId { number, random: 1 }
    }

    #[test]
    fn a_message_is_followed_from_its_row_to_the_ack_of_each_device() {
        let trail = Trail::new(Arc::new(SystemClock));
        let phone = FullJid::new("bob@example.org/phone").unwrap();
        let desk = FullJid::new("bob@example.org/desk").unwrap();
        let bob = phone.bare();
        trail.stored(&bob, [id(7), id(8)]);
        trail.written(id(7), SessionId(1), &phone, LogNumber(4));
        trail.written(id(7), SessionId(2), &desk, LogNumber(1));
        trail.acknowledged(SessionId(1), LogNumber(3));
        trail.acknowledged(SessionId(1), LogNumber(5));
        let events = trail.of(&bob, id(7));
        assert!(events.is_sorted_by_key(|(at, _)| *at));
        let mut events: Vec<_> = events.into_iter().map(|(_, event)| event).collect();
        events.sort_by_key(|event| format!("{event:?}"));
        let expected = [
            Event::Acknowledged(phone.clone(), LogNumber(4)),
            Event::Stored,
            Event::Written(desk, LogNumber(1)),
            Event::Written(phone, LogNumber(4)),
        ];
        assert_eq!(events, expected);
        let alice = BareJid::new("alice@example.org").unwrap();
        assert!(trail.of(&alice, id(7)).is_empty(), "whose it is matters");
        assert_eq!(trail.of(&bob, id(8)).len(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let trail = Trail::new(Arc::new(SystemClock));
        let bob = BareJid::new("bob@example.org").unwrap();
        trail.stored(&bob, (1..=MOST as u64 + 1).map(id));
        assert!(trail.of(&bob, id(1)).is_empty(), "the oldest went");
        assert_eq!(trail.of(&bob, id(2)).len(), 1);
        assert_eq!(trail.rings.lock().stored.len(), MOST);
    }
}
