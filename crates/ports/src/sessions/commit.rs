//! What is asked of a commit, and what it answers.

use std::sync::Arc;

use starling_jid::{BareJid, FullJid, Jid};
use starling_stanza::Wire;

use super::View;
use crate::StoreError;
use crate::archive::{Direction, Row, Table};
use crate::delivery::{Copy, Entry};
use crate::ids::{ArchiveId, Epoch, Handled, NodeId, SessionId};

/// Which stanza it is, for every retry of it (rule 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SenderKey {
    /// The sender's session.
    pub session: SessionId,
    /// Its epoch when the client sent it.
    pub epoch: Epoch,
    /// The number of the stanza on the sender's stream, from 1.
    pub number: u64,
    /// Two commits of one stanza on one account differ in it.
    pub role: Role,
    /// Everything of that session up to here is handled: it is never sent again, and need not be remembered.
    pub handled: Handled,
}

/// Why a stanza is committed at this account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It is addressed to it.
    Receive,
    /// The account sent it: own archive copy, carbons.
    Sent,
    /// The server answers it.
    Answer,
}

/// The name of a message that its sender gave it, for retries after a lost session (rule 4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Digest of (bare sender, origin-id, content without a top-level delay).
    pub digest: u128,
}

/// One stanza with what was decided about it.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Which it is; `None` for what the server itself makes: such a stanza is not retried.
    pub key: Option<SenderKey>,
    /// Digest of the client's canonical content without a top-level `<delay/>`.
    pub hash: u64,
    /// Present where the message carries an origin-id.
    pub origin: Option<Origin>,
    /// The stanza.
    pub wire: Wire,
    /// Keep a row in the archive (then it gets an archive id), with this description.
    pub keep: Option<Keep>,
    /// Whom it goes to, and how.
    pub targets: Vec<(SessionId, Copy)>,
    /// XEP-0352: an inactive session gets it at once.
    pub urgent: bool,
    /// Several presences of one full JID that wait for an inactive or full session become the newest one.
    pub coalesce: Option<Jid>,
}

/// What is kept of a message beside its bytes.
#[derive(Debug, Clone)]
pub struct Keep {
    /// The row's fields, but for those that the commit gives (`id`, `at`, `wire`).
    pub with: BareJid,
    /// See `Row::direction`.
    pub direction: Direction,
    /// See `Row::resource`.
    pub resource: Option<Box<str>>,
    /// See `Row::deliverable`.
    pub deliverable: bool,
    /// See `Row::copied`.
    pub copied: bool,
    /// Which table: the spool where the account's archive is off or its preferences or a hint forbid it.
    pub table: Table,
    /// Rule 15: no row is written if a session took it, because neither end's XEP-0198 covers it and no archive keeps it.
    pub only_if_nobody: bool,
}

/// An entry that was numbered for an attached session by a commit, to be pushed.
#[derive(Debug, Clone)]
pub struct Handed {
    /// To whom.
    pub session: SessionId,
    /// Its address.
    pub jid: FullJid,
    /// Its owner.
    pub node: NodeId,
    /// Its epoch.
    pub epoch: Epoch,
    /// What. Under the number `LogNumber::BEHIND` it is a mere hint to pull: the log was full, and more waits behind it.
    pub entry: Entry,
}

/// What became of one planned stanza.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Committed now.
    Done {
        /// Its archive id, if it has one.
        id: Option<ArchiveId>,
        /// To be stored before anything is pushed; `None` where nothing is kept.
        row: Option<(Table, Row)>,
        /// To be pushed.
        handed: Vec<Handed>,
    },
    /// Committed before, by this key or this origin: store (idempotent) and push again, then go on.
    Seen {
        /// As it was given then.
        id: Option<ArchiveId>,
        /// What is still owed of it, if anything.
        row: Option<(Table, Row)>,
        /// Still unacknowledged.
        handed: Vec<Handed>,
    },
    /// Nothing was done: it comes from a former owner of its session (rule 21), or contradicts what was done under its number
    /// (rule 3).
    Fenced,
}

/// The answer to a commit.
#[derive(Debug)]
pub enum CommitReply {
    /// One outcome for each stanza of the prefix that was taken, in order.
    Done(Vec<Outcome>),
    /// The view has changed, or what the account had owed for too long is stored now: decide again on this one. Nothing was written.
    Stale(Arc<View>),
    /// The log is full, or what the account has owed for too long cannot be stored (rules 13 and 20). Nothing was written.
    Wait,
    /// What the account has owed for too long could not be stored just now: another store did not answer. Nothing was written.
    Away(StoreError),
}
