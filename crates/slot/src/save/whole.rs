//! Fields that are written whole, and how it is found that one differs from what the record has.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use starling_jid::Jid;
use starling_ports::blocklist::BlockList;
use starling_ports::ids::SessionId;
use starling_ports::preferences::Preferences;
use starling_ports::sessions::Availability;

use super::{by_session, tag};

/// Which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whole {
    Frame,
    Lists,
    Identity(SessionId),
    State(SessionId),
    Farewell(SessionId),
}

impl Whole {
    pub(super) fn name(self) -> Vec<u8> {
        match self {
            Whole::Frame => vec![tag::FRAME],
            Whole::Lists => vec![tag::LISTS],
            Whole::Identity(id) => by_session(tag::IDENTITY)(id),
            Whole::State(id) => by_session(tag::STATE)(id),
            Whole::Farewell(id) => by_session(tag::FAREWELL)(id),
        }
    }
}

/// What a value is made of, where that never changes in place: as long as it is the very same, the value need not be written
/// to be compared.
#[derive(Debug, Clone)]
pub(super) enum MadeOf {
    Lists(Arc<BlockList>, Arc<Preferences>),
    Identity(Option<Arc<Availability>>, Arc<Vec<Jid>>),
    /// Of what changes with every step.
    Anything,
}

/// What the record has of a field.
#[derive(Debug)]
pub(super) struct Held {
    value: Known,
    made_of: MadeOf,
}

/// What is known of a value.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// All of it: it is small, and compared at each step.
    Value(Box<[u8]>),
    /// Of one that may be big, and is seldom looked at.
    Digest(u64),
}

impl Known {
    fn of(value: &[u8], made_of: &MadeOf) -> Known {
        if matches!(made_of, MadeOf::Anything) {
            return Known::Value(value.into());
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(value);
        Known::Digest(hasher.finish())
    }
}

impl Held {
    pub(super) fn new(value: &[u8], made_of: MadeOf) -> Held {
        Held { value: Known::of(value, &made_of), made_of }
    }

    pub(super) fn is_made_of(&self, made_of: &MadeOf) -> bool {
        match (&self.made_of, made_of) {
            (MadeOf::Lists(blocked, preferences), MadeOf::Lists(now_blocked, now_preferences)) => {
                Arc::ptr_eq(blocked, now_blocked) && Arc::ptr_eq(preferences, now_preferences)
            }
            (MadeOf::Identity(said, directed), MadeOf::Identity(says, directs)) => {
                let is_same = match (said, says) {
                    (None, None) => true,
                    (Some(said), Some(says)) => Arc::ptr_eq(said, says),
                    _ => false,
                };
                is_same && Arc::ptr_eq(directed, directs)
            }
            _ => false,
        }
    }

    pub(super) fn is_like(&self, other: &Held) -> bool {
        self.value == other.value
    }

    /// Whether the record has just this value, where all of it is known.
    pub(super) fn is(&self, value: &[u8]) -> bool {
        matches!(&self.value, Known::Value(known) if **known == *value)
    }
}
