//! The slot of an account: its view, its commits, its stream and its sessions' logs (the session log's port).

mod commit;
mod farewell;
mod registration;
mod renewal;
mod view;

use std::sync::Arc;
use std::time::Duration;

use crate::Result;
use crate::archive::Born;
use crate::delivery::Entry;
use crate::ids::{ArchiveId, Epoch, Handled, LogNumber, NodeId, SessionId, Timestamp};
use crate::position::Position;
use async_trait::async_trait;
use starling_jid::{BareJid, FullJid, Jid};

pub use self::commit::{CommitReply, Handed, Keep, Origin, Outcome, Planned, Role, SenderKey};
pub use self::farewell::Farewell;
pub use self::registration::{Portrait, Registered, Registration};
pub use self::renewal::{Renewal, Renewed, Standing};
pub use self::view::{Availability, Flags, SessionView, View, ViewVersion};

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
    /// What is owed to others; to be said, and then settled by `settle_farewell`.
    pub farewell: Option<Farewell>,
    /// Entries that went to the account's other sessions: to be pushed.
    pub handed: Vec<Handed>,
}

/// Who has gone.
#[derive(Debug, Clone, Default)]
pub struct Departed {
    /// Sessions that have ended now.
    pub ended: Vec<Ended>,
    /// What is owed of others that had gone before: whoever was to say it has not settled it.
    pub owed: Vec<Farewell>,
}

impl Departed {
    /// How much it is.
    pub fn len(&self) -> usize {
        self.ended.len() + self.owed.len()
    }

    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The answer to `bind`.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The new session.
    pub id: SessionId,
    /// Its first epoch.
    pub epoch: Epoch,
    /// The former session of that resource, if there was one: attached, it gets `<conflict/>`; waiting, it ended silently, and whoever
    /// believes it to be there hears `unavailable` when the new one goes.
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
        /// What it has said of itself, for a node that may have to register it again (rule 9).
        portrait: Portrait,
        /// The former owner, if a socket still held it: to be told `Fenced`.
        fenced: Option<(NodeId, Epoch)>,
        /// What devices of its account have acknowledged, where that is not saved yet: its node keeps it (rule 9).
        done: Position,
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
    /// Its store came back with less than it had: whoever holds the session may be about to register it again (rule 9).
    Doubtful,
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
    /// It was `Presence(None)`: this is to be said, and then settled by `settle_farewell`. One that was not settled is told again.
    Left(Farewell),
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

/// What became of a session whose socket is gone.
#[derive(Debug)]
pub enum Detached<E> {
    /// It waits to be resumed.
    Waits,
    /// It has ended, and leaves this.
    Ended(E),
    /// There is no such session under this claim. Its store may have forgotten it (rule 9).
    Nobody,
}

impl<E> Detached<E> {
    /// What it leaves, if it has ended.
    pub fn ended(self) -> Option<E> {
        match self {
            Detached::Ended(ended) => Some(ended),
            Detached::Waits | Detached::Nobody => None,
        }
    }
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

/// A session that holds a message and has not acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Its address.
    pub jid: FullJid,
    /// Its owner.
    pub node: NodeId,
    /// Whether a socket holds it.
    pub attached: bool,
    /// The entry's number, if it was handed out.
    pub number: Option<LogNumber>,
}

/// How many sessions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Held by a socket.
    pub attached: usize,
    /// Waiting to be resumed. One that was resumed may be counted here too until its time would have been over.
    pub waiting: usize,
    /// Entries of logs, as far as they are known here.
    pub unacknowledged: usize,
}

/// The slots of all accounts. `session-log` names the rules; each method is one atomic step in one slot.
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// The present view.
    async fn view(&self, account: &BareJid) -> Result<Arc<View>>;

    /// Whether other processes change slots too: what `known_view` gives may then be an old view.
    fn is_shared(&self) -> bool {
        false
    }

    /// A view that nobody is asked for, if it was the present one less than `within` ago; otherwise the present one. For
    /// decisions that are committed: the commit finds out whether it still holds. Others want `view`.
    async fn known_view(&self, account: &BareJid, within: Duration) -> Result<Arc<View>> {
        let _ = within; // see `is_shared`
        self.view(account).await
    }

    /// If the view is still `version`: gives ids, appends to the logs of the targets, numbers the entry for those
    /// that are attached with room and not inactive. What was seen before is not done again. If all of it was taken, and only
    /// then, `handled` of one of the account's own sessions is saved with it, as by `settle`: also where nothing is planned.
    async fn commit(
        &self,
        account: &BareJid,
        version: ViewVersion,
        planned: Vec<Planned>,
        handled: Option<(SessionId, Epoch, Handled)>,
    ) -> Result<CommitReply>;

    /// The numbers of what a session has sent that was answered, as far as it may be sent again: what was refused is refused, whoever
    /// decides now (rule 13). Asked before each batch, and `again` before one that was sent before: a store is asked then, or where this
    /// router has not looked yet; else it knows what it has refused itself, and the answer is none.
    async fn answered(&self, account: &BareJid, session: SessionId, again: bool) -> Result<Vec<u64>>;

    /// Rows are stored: they are no longer owed. `handled` of the account's own sessions is saved: it never falls. That of
    /// a session which has ended meanwhile, by its last owner, is what `claim` tells (rule 4). `false`: another claim holds the
    /// session, or it waits for its node (rule 9); nothing is saved of it then, so nothing may be told (rule 6).
    async fn settle(
        &self,
        account: &BareJid,
        stored: &[ArchiveId],
        handled: Option<(SessionId, Epoch, Handled)>,
    ) -> Result<bool>;

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

    /// The client has handled everything up to `upto`. Above the highest number handed out it has no effect (rule 6), and
    /// `false` is the answer where that is known at once. Written at leisure, at the latest with the next step that is made for
    /// the account here: a renewal says it again.
    async fn acknowledge(
        &self,
        account: &BareJid,
        session: SessionId,
        epoch: Epoch,
        upto: LogNumber,
    ) -> Result<bool>;

    /// Resumes a session.
    async fn claim(&self, claim: Claim) -> Result<Claimed>;

    /// The socket is gone. The session waits, or, if it cannot be resumed, has ended. `Closed` ends one that waits, too.
    async fn detach(
        &self,
        account: &BareJid,
        session: SessionId,
        epoch: Epoch,
        why: Detach,
    ) -> Result<Detached<Ended>>;

    /// `node` lives, and holds these sessions: one answer for each, in order. Sessions of a node that has not said so for a
    /// whole lease are detached by `expire`, as if their connections had been lost.
    async fn renew(&self, node: NodeId, sessions: Vec<Renewal>) -> Result<Vec<Renewed>>;

    /// A session that `renew` did not know goes on, as its node knows it (rule 9).
    async fn register(&self, registration: Registration) -> Result<Registered>;

    /// Another number than before says that something committed since may be gone: to be asked before and behind what is done
    /// for a sender (rule 8).
    fn continuity(&self) -> u64;

    /// Which of these committed ids are gone, because the store has come back with less since: their stanzas are to be
    /// committed anew, and their rows deleted (rule 8). To be asked before anything is acknowledged. What the sender's session is
    /// known to be past was handled, whoever did it: its row stays.
    async fn gone(&self, account: &BareJid, committed: &[(ArchiveId, Born)]) -> Result<Vec<ArchiveId>>;

    /// Sessions whose time to be resumed is over end now, at most `limit` at once. With them, what was owed to others and not said
    /// in time.
    async fn expire(&self, now: Timestamp, limit: usize) -> Result<Departed>;

    /// All have heard it: nobody says it again. What has come to it since it was told is owed still.
    async fn settle_farewell(&self, said: &Farewell) -> Result<()>;

    /// Stores what is committed at `account` and not stored yet: for whoever could not store what it had committed.
    async fn store_owed(&self, account: &BareJid) -> Result<()>;

    /// Stores rows, of at most `limit` accounts, that were committed a while ago and whose writer has not stored them.
    /// What of them lies in the logs of attached sessions is to be pushed (rule 13).
    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<(BareJid, Vec<Handed>)>>;

    /// Ends all sessions of an account (but `except`), attached or waiting: password change, suspension, removal. With them, all that is
    /// owed of former ones.
    async fn end_all(&self, account: &BareJid, except: Option<SessionId>) -> Result<Departed>;

    /// Stores what is committed and not stored yet, and returns where that ends: a reader of the archive that asks for no
    /// id above it misses none, whoever writes meanwhile (rule 12).
    async fn stored_up_to(&self, account: &BareJid) -> Result<ArchiveId>;

    /// Block list, preferences or account are about to change in their store: until `refresh` nobody decides on what was
    /// known of them before, even if whoever changes them dies over it (rule 23).
    async fn unsettle(&self, account: &BareJid) -> Result<()>;

    /// Block list, preferences or account have changed in their store: the next view is read anew.
    async fn refresh(&self, account: &BareJid) -> Result<()>;

    /// Sessions, of one account or of all, at most `limit`, as they are now. The next view of these accounts is no older.
    async fn list(&self, account: Option<&BareJid>, limit: usize) -> Result<Vec<SessionInfo>>;

    /// Which sessions hold the message and have not acknowledged it. One that will read it from the store is not among them.
    async fn holders(&self, account: &BareJid, id: ArchiveId) -> Result<Vec<Holding>>;

    /// How many there are, for who watches: nearly, and without a look at each where stores are shared.
    async fn count(&self) -> Result<Counted> {
        let mut counted = Counted::default();
        for session in self.list(None, usize::MAX).await? {
            if session.attached {
                counted.attached += 1;
            } else {
                counted.waiting += 1;
            }
            counted.unacknowledged += session.unacknowledged;
        }
        Ok(counted)
    }

    /// Saves what a clean stop must not lose; sockets are closed already.
    async fn save(&self) -> Result<()>;
}
