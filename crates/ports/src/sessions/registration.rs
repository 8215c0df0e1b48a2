//! A session as its node knows it, for a store that has forgotten it (session-log rule 9).

use std::sync::Arc;
use std::time::Duration;

use starling_jid::{FullJid, Jid};

use super::{Availability, Flags, SmBase};
use crate::delivery::Outgoing;
use crate::ids::{Epoch, Handled, Life, LogNumber, NodeId, SessionId};
use crate::position::Position;

/// What a session has said of itself: its node asks for it now and then, because only a router understands it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Portrait {
    /// What it asked for.
    pub flags: Flags,
    /// Its last available presence.
    pub available: Option<Arc<Availability>>,
    /// Whom it sent directed presence.
    pub directed: Arc<Vec<Jid>>,
}

/// All that a node keeps of a session whose socket it holds.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Which.
    pub session: SessionId,
    /// Its address.
    pub jid: FullJid,
    /// Its owner.
    pub node: NodeId,
    /// By which claim it was held.
    pub epoch: Epoch,
    /// In which life of the store it was renewed last.
    pub life: Life,
    /// Names this registration: the same token gets the same epoch again (rule 21).
    pub token: u128,
    /// What it said of itself.
    pub portrait: Portrait,
    /// For how long it may wait to be resumed, if it may.
    pub resume: Option<Duration>,
    /// From where XEP-0198 counts.
    pub base: SmBase,
    /// How far what it sent is handled, as far as its client may have been told.
    pub handled: Handled,
    /// The last number that its client has acknowledged.
    pub acknowledged: LogNumber,
    /// What came to the node behind it, in order: the client has it, or will get it on this stream.
    pub entries: Vec<Outgoing>,
    /// What was acknowledged since the position was saved, as far as the node knows: it does not wait again.
    pub done: Position,
}

/// The answer to a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It goes on under this epoch. Registering is a claim: nothing that was under way under a former one has an effect.
    Again {
        /// The new one.
        epoch: Epoch,
    },
    /// It has ended, or is somebody else's: the socket is dropped without a word.
    Over,
}
