//! What can go wrong with a message, each by its name.

use std::fmt;
use std::sync::Arc;

use crate::Id;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Acknowledged to its sender, and no device of the receiver ever got it.
    Lost {
        /// Which.
        id: Id,
        /// Whose devices.
        account: Arc<str>,
    },
    /// Acknowledged to its sender, and the receiver's archive does not have it.
    NotArchived {
        /// Which.
        id: Id,
        /// Whose archive.
        account: Arc<str>,
    },
    /// In one archive more than once.
    ArchivedTwice {
        /// Which.
        id: Id,
        /// Whose archive.
        account: Arc<str>,
    },
    /// A stream, resumed or not, brought it more than once.
    Doubled {
        /// Which.
        id: Id,
        /// Which device.
        device: Arc<str>,
    },
    /// A device got it again on a later stream, and it did not say that it comes late.
    Unmarked {
        /// Which.
        id: Id,
        /// Which device.
        device: Arc<str>,
    },
    /// Told under two archive ids, or under another than the archive has.
    OtherId {
        /// Which.
        id: Id,
        /// Whose archive.
        account: Arc<str>,
    },
    /// Came behind a later one of the same sender.
    Reordered {
        /// Which.
        id: Id,
        /// The later one.
        behind: u64,
        /// On which device.
        device: Arc<str>,
    },
    /// A row of an archive whose id is not above the one before it.
    IdFell {
        /// Which.
        id: Id,
        /// Whose archive.
        account: Arc<str>,
    },
    /// Answered with an error, and delivered all the same.
    RefusedAndDelivered {
        /// Which.
        id: Id,
    },
    /// A contact saw a device go that had not left.
    Flapped {
        /// Which device.
        device: Arc<str>,
        /// Who saw it.
        contact: Arc<str>,
    },
    /// Came, and was never sent.
    Invented {
        /// Which.
        id: Id,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Lost { id, account } => write!(f, "lost: {id} was acked and never came to {account}"),
            Fault::NotArchived { id, account } => {
                write!(f, "not archived: {id} was acked and is not in the archive of {account}")
            }
            Fault::ArchivedTwice { id, account } => write!(f, "archived twice: {id} at {account}"),
            Fault::Doubled { id, device } => write!(f, "doubled: {id} came twice on one stream of {device}"),
            Fault::Unmarked { id, device } => {
                write!(f, "unmarked: {id} came again to {device} without a delay")
            }
            Fault::OtherId { id, account } => write!(f, "other id: {id} has two archive ids at {account}"),
            Fault::Reordered { id, behind, device } => {
                write!(f, "reordered: {id} came behind {behind} on {device}")
            }
            Fault::IdFell { id, account } => {
                write!(f, "id fell: the row of {id} at {account} is not above the one before it")
            }
            Fault::RefusedAndDelivered { id } => write!(f, "refused and delivered: {id}"),
            Fault::Flapped { device, contact } => {
                write!(f, "flapped: {contact} saw {device} go, and it had not left")
            }
            Fault::Invented { id } => write!(f, "invented: {id} came and was never sent"),
        }
    }
}
