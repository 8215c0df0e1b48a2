//! The slot of an account: its view, its commits, its stream and its sessions' logs (the session log's port).

mod renewal;
mod view;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use starling_jid::{BareJid, FullJid, Jid};
use starling_stanza::Wire;

use crate::Result;
use crate::archive::Row;
use crate::delivery::{Copy, Entry};
use crate::ids::{ArchiveId, Epoch, Handled, LogNumber, NodeId, SessionId, Timestamp};

pub use self::renewal::{Renewal, Renewed};
pub use self::view::{Availability, Flags, SessionView, View, ViewVersion};

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
    pub direction: crate::archive::Direction,
    /// See `Row::resource`.
    pub resource: Option<Box<str>>,
    /// See `Row::deliverable`.
    pub deliverable: bool,
    /// See `Row::copied`.
    pub copied: bool,
    /// Which table: the spool where the account's archive is off or its preferences or a hint forbid it.
    pub table: crate::archive::Table,
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
        row: Option<(crate::archive::Table, Row)>,
        /// To be pushed.
        handed: Vec<Handed>,
    },
    /// Committed before, by this key or this origin: store (idempotent) and push again, then go on.
    Seen {
        /// As it was given then.
        id: Option<ArchiveId>,
        /// What is still owed of it, if anything.
        row: Option<(crate::archive::Table, Row)>,
        /// Still unacknowledged.
        handed: Vec<Handed>,
    },
}

/// The answer to a commit.
#[derive(Debug)]
pub enum CommitReply {
    /// One outcome for each stanza of the prefix that was taken, in order.
    Done(Vec<Outcome>),
    /// The view has changed: decide again on this one. Nothing was written.
    Stale(Arc<View>),
    /// The stream is too long, or what it owes too old (rule 13). Nothing was written.
    Wait,
}

/// A new session.
#[derive(Debug, Clone)]
pub struct Bind {
    /// Its address: the resource was chosen by the router if the client left it to the server.
    pub jid: FullJid,
    /// Its owner.
    pub node: NodeId,
}

/// A session that ended or was replaced: what others must still hear of it.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Which.
    pub id: SessionId,
    /// Its address.
    pub jid: FullJid,
    /// Its owner, for telling it.
    pub node: NodeId,
    /// Its epoch, for telling it.
    pub epoch: Epoch,
    /// Whether a socket held it.
    pub attached: bool,
    /// Whether its contacts believe it available.
    pub available: Option<Arc<Availability>>,
    /// Whom it sent directed presence (RFC 6121 §4.6.3): they are told too.
    pub directed: Vec<Jid>,
    /// Requests of others that it never answered, and other unstorable stanzas of its log: they bounce (rule 18).
    pub undelivered: Vec<Wire>,
    /// Entries that went to the account's other sessions: to be pushed.
    pub handed: Vec<Handed>,
}

/// The answer to `bind`.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The new session.
    pub id: SessionId,
    /// Its first epoch.
    pub epoch: Epoch,
    /// The former session of that resource, if there was one: attached, it gets `<conflict/>`; waiting, it ended silently.
    pub replaced: Option<Ended>,
}

/// What had gone over a stream when XEP-0198 began on it: the client counts from there, and hears only counts from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SmBase {
    /// The last entry written before `<enabled/>`: with `h` the client means the entry `sent + h`.
    pub sent: LogNumber,
    /// The last stanza read before `<enable/>`: `h` told to the client is `Handled` less this.
    pub handled: Handled,
}

/// A wish to resume (XEP-0198 §5).
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who is signed in on the new stream: a session is resumed by its own account only.
    pub account: BareJid,
    /// Which session.
    pub session: SessionId,
    /// Its new owner.
    pub node: NodeId,
    /// How many stanzas the client says it handled, not wrapped: the claim extends it from 32 bits.
    pub h: u32,
    /// Names the connection: the same token gets the same epoch again (rule 21).
    pub token: u128,
}

/// The answer to a claim.
#[derive(Debug, Clone)]
pub enum Claimed {
    /// Its log begins behind the client's `h`; pull from there.
    Resumed {
        /// Whose.
        jid: FullJid,
        /// The new epoch: the former owner is fenced.
        epoch: Epoch,
        /// What the server handled, in the numbers of `Submitted`: less `base.handled` it is told in `<resumed/>`.
        /// Everything that it covers is stored.
        handled: Handled,
        /// As it was told to `EnableSm`.
        base: SmBase,
        /// Where the log begins: the last number that the client has.
        acknowledged: LogNumber,
        /// The flags as they were.
        flags: Flags,
        /// The former owner, if a socket still held it: to be told `Fenced`.
        fenced: Option<(NodeId, Epoch)>,
    },
    /// No such session, or not of this account, or over: `<failed/>` with the last `h` if it is known.
    Failed {
        /// The last `h` as the client counts (less the base), known for a day.
        handled: Option<Handled>,
    },
    /// An `h` above the highest number handed out (rule 6).
    TooHigh {
        /// The highest number handed out, as the client counts (less the base).
        sent: LogNumber,
    },
}

/// A change of a session's own state.
#[derive(Debug, Clone)]
pub enum Change {
    /// Available with this presence, or no longer.
    Presence(Option<Arc<Availability>>),
    /// Directed presence to somebody who is not a contact: remembered, or forgotten when it was `unavailable`.
    Directed {
        /// To whom.
        to: Jid,
        /// Whether it was available.
        available: bool,
    },
    /// Other flags. `<enable/>` with the base that the client counts from is `EnableSm`.
    Flags(Flags),
    /// XEP-0198 begins: both counts of the client start behind `base`, and entries up to it count as acknowledged.
    EnableSm {
        /// Whether it may be resumed, and for how long.
        resume: Option<Duration>,
        /// What had gone either way when it began.
        base: SmBase,
    },
}

/// The answer to a change.
#[derive(Debug, Clone)]
pub enum Changed {
    /// The session has a backlog, or held-back entries: pull.
    Pull,
    /// Nothing to do.
    Nothing,
    /// It was `Presence(None)`: these had been sent directed presence, and are told; the slot has forgotten them.
    Left {
        /// Whom, each once.
        directed: Vec<Jid>,
    },
    /// No such session under this epoch.
    Fenced,
}

/// Why a session's socket is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detach {
    /// The connection was lost: a resumable session waits.
    Lost,
    /// The client closed its stream: the session ends at once (XEP-0198 §5).
    Closed,
}

/// The next entries of a log.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// In order; all stored.
    pub entries: Vec<Entry>,
    /// Whether more wait. With no entries: the log is full, pull again after an acknowledgement.
    pub more: bool,
}

/// What an administrator sees of a session.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// Its address.
    pub jid: FullJid,
    /// Which.
    pub id: SessionId,
    /// Its owner.
    pub node: NodeId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Whether a socket holds it.
    pub attached: bool,
    /// Its priority if available.
    pub priority: Option<i8>,
    /// How many entries are unacknowledged.
    pub unacknowledged: usize,
    /// Since when.
    pub since: Timestamp,
}

/// The slots of all accounts. `session-log` names the rules; each method is one atomic step in one slot.
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// The present view.
    async fn view(&self, account: &BareJid) -> Result<Arc<View>>;

    /// If the view is still `version`: gives ids, appends to the logs of the targets, numbers the entry for those
    /// that are attached with room and not inactive. What was seen before is not done again.
    async fn commit(
        &self,
        account: &BareJid,
        version: ViewVersion,
        planned: Vec<Planned>,
    ) -> Result<CommitReply>;

    /// Rows are stored: they are no longer owed. `handled` of the account's own sessions is saved: it never falls. That of
    /// a session which has ended meanwhile, by its last owner, is what `claim` tells (rule 4).
    async fn settle(
        &self,
        account: &BareJid,
        stored: &[ArchiveId],
        handled: Option<(SessionId, Epoch, Handled)>,
    ) -> Result<()>;

    /// A new session; a former one of the same resource ends in the same step.
    async fn bind(&self, bind: Bind) -> Result<Bound>;

    /// Changes a session's state.
    async fn change(
        &self,
        account: &BareJid,
        session: SessionId,
        epoch: Epoch,
        change: Change,
    ) -> Result<Changed>;

    /// The session's entries after `after`, numbered as they are handed out, at most `limit`. Never empties a store: entries
    /// go by `acknowledge`.
    async fn pull(
        &self,
        account: &BareJid,
        session: SessionId,
        epoch: Epoch,
        after: LogNumber,
        limit: usize,
    ) -> Result<Pulled>;

    /// The client has handled everything up to `upto`. `false` if it is above the highest number handed out.
    async fn acknowledge(
        &self,
        account: &BareJid,
        session: SessionId,
        epoch: Epoch,
        upto: LogNumber,
    ) -> Result<bool>;

    /// Resumes a session.
    async fn claim(&self, claim: Claim) -> Result<Claimed>;

    /// The socket is gone. The session waits, or, if it cannot be resumed, has ended.
    async fn detach(
        &self,
        account: &BareJid,
        session: SessionId,
        epoch: Epoch,
        why: Detach,
    ) -> Result<Option<Ended>>;

    /// `node` lives, and holds these sessions: one answer for each, in order. Sessions of a node that has not said so for a
    /// whole lease are detached by `expire`, as if their connections had been lost.
    async fn renew(&self, node: NodeId, sessions: Vec<Renewal>) -> Result<Vec<Renewed>>;

    /// Sessions whose time to be resumed is over end now, at most `limit` at once.
    async fn expire(&self, now: Timestamp, limit: usize) -> Result<Vec<Ended>>;

    /// Stores what is committed at `account` and not stored yet: for whoever could not store what it had committed.
    async fn store_owed(&self, account: &BareJid) -> Result<()>;

    /// Stores rows, of at most `limit` accounts, that were committed a while ago and whose writer has not stored them.
    /// What of them lies in the logs of attached sessions is to be pushed (rule 13).
    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<(BareJid, Vec<Handed>)>>;

    /// Ends all sessions of an account (but `except`), attached or waiting: password change, suspension, removal.
    async fn end_all(&self, account: &BareJid, except: Option<SessionId>) -> Result<Vec<Ended>>;

    /// Stores what is committed and not stored yet, and returns where that ends: a reader of the archive that asks for no
    /// id above it misses none, whoever writes meanwhile (rule 12).
    async fn stored_up_to(&self, account: &BareJid) -> Result<ArchiveId>;

    /// Block list, preferences or account have changed in their store: the next view is read anew.
    async fn refresh(&self, account: &BareJid) -> Result<()>;

    /// Sessions, of one account or of all, at most `limit`.
    async fn list(&self, account: Option<&BareJid>, limit: usize) -> Result<Vec<SessionInfo>>;

    /// Saves what a clean stop must not lose; sockets are closed already.
    async fn save(&self) -> Result<()>;
}
