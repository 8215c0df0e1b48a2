//! The slot of one account: what the session log keeps of it, and its steps. No I/O, no locks, no clock of its own.
#![forbid(unsafe_code)]

mod backlog;
mod broken;
pub mod codec;
mod commit;
mod estate;
mod farewell;
mod log;
mod origins;
mod pending;
mod register;
mod save;
mod seen;
mod session;
#[cfg(test)]
mod tests;
mod tracked;
mod usual;
mod verify;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use starling_jid::BareJid;
use starling_ports::archive::{Direction, Row, StanzaKey, Table};
use starling_ports::blocklist::BlockList;
use starling_ports::ids::{ArchiveId, Epoch, Handled, Life, SessionId, Timestamp};
use starling_ports::position::Position;
use starling_ports::preferences::Preferences;
use starling_ports::sessions::{Holding, SessionInfo, View, ViewVersion};

pub use backlog::{Need, Scan, handed_out};
pub use broken::Promise;
pub use estate::Estate;
use farewell::Farewells;
pub use log::{Logged, Stanza};
pub use origins::{ORIGIN_FOR, ORIGINS};
use pending::Pending;
pub use pending::Waiting;
pub use register::Rows;
pub use save::{Body, Delta, Field, ORIGIN, Saved};
use seen::Seen;
pub use session::{Backlog, Session};
use tracked::Tracked;

/// How many committed rows may wait to be stored (rule 13).
const OWED: usize = 10_000;

/// How long the last `h` of an ended session is known (rule 4), and of how many.
const ENDED_FOR: Duration = Duration::from_secs(24 * 3600);
const ENDED: usize = 64;

/// How many archived bytes are counted before the count is saved: so much a kill makes it forget.
const UNSAVED: u64 = 64 * 1024;

/// What bounds a slot.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Entries of one session's log.
    pub stanzas: usize,
    /// Bytes of one session's log.
    pub bytes: usize,
    /// The longest time to be resumed.
    pub resume_within: Duration,
    /// How old a row may be that is not stored yet (rule 13).
    pub owed_for: Duration,
}

/// What a step needs from outside.
pub struct Context<'a> {
    /// The time, for what is remembered and what expires.
    pub now: Timestamp,
    /// What ids are not below; a clock that cannot be right is 0.
    pub clock: Timestamp,
    /// What bounds the slot.
    pub limits: &'a Limits,
    /// The disk did not take the last write.
    pub is_failing: bool,
    /// 64 random bits.
    pub random: &'a mut dyn FnMut() -> u64,
}

/// Digest and side of a message with an origin-id, what it became, and when.
pub type KnownOrigin = (u128, Direction, ArchiveId, Timestamp);

/// A row's stanza, its id, and when it was committed.
pub type KnownKey = (StanzaKey, ArchiveId, Timestamp);

/// What the store knows of an account when its slot is made.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Whether there is such an account.
    pub exists: bool,
    /// Whom it blocks.
    pub blocked: BlockList,
    /// What it wants archived.
    pub preferences: Preferences,
    /// The highest id ever kept.
    pub last: Option<ArchiveId>,
    /// How far its devices have acknowledged.
    pub position: Position,
    /// Deliverable rows past the position, oldest first.
    pub waiting: Vec<Waiting>,
    /// Whether `waiting` is not all.
    pub more: bool,
    /// The newest messages that carry an origin-id.
    pub origins: Vec<KnownOrigin>,
    /// Of which stanzas the newest rows are.
    pub keys: Vec<KnownKey>,
    /// In which life of the sessions' store all this is said.
    pub life: Life,
    /// Bytes of what is archived.
    pub archived: u64,
}

impl Facts {
    /// The same with what the newest rows, of both tables, say of stanzas and origin-ids that may come again (rules 4 and 8).
    #[must_use]
    pub fn remembering(self, mut recent: Vec<Row>) -> Facts {
        recent.sort_by_key(|row| row.at);
        let origin = |row: &Row| Some((row.origin?, row.direction, row.id, row.at));
        let key = |row: &Row| Some((row.born.key?, row.id, row.at));
        let (origins, keys) =
            (recent.iter().filter_map(origin).collect(), recent.iter().filter_map(key).collect());
        Facts { origins, keys, ..self }
    }
}

/// A committed row that is not stored yet.
#[derive(Debug, Clone)]
pub struct Owed {
    /// Where it is kept.
    pub table: Table,
    /// What.
    pub row: Row,
}

/// A session that has ended.
#[derive(Debug)]
pub(crate) struct Over {
    id: SessionId,
    epoch: Epoch,
    /// As its client counts; not known of one that was lost in a former life of the store.
    handled: Option<Handled>,
    base: Handled,
    at: Timestamp,
}

/// One account: its sessions with their logs, what is owed, what waits, what was seen.
pub struct Slot {
    account: BareJid,
    exists: bool,
    /// Account, block list or preferences are being changed: what is known of them here does not hold (rule 23).
    unsettled: bool,
    /// The life of the store in which it is; whoever has loaded it says so.
    life: Life,
    blocked: Arc<BlockList>,
    preferences: Arc<Preferences>,
    version: u64,
    view: Option<Arc<View>>,
    /// The last number given out.
    last: u64,
    sessions: Vec<Session>,
    owed: Tracked<ArchiveId, Arc<Stanza>>,
    /// The last `h` of sessions that are over (rule 4).
    ended: VecDeque<Over>,
    farewells: Farewells,
    pending: Pending,
    seen: Seen,
    /// Rows of the spool that are acknowledged, but that a session with a backlog still has to read.
    collected: Vec<ArchiveId>,
    /// Bytes of what is archived, near enough for a quota.
    archived: u64,
    /// What of it was saved last.
    archived_saved: u64,
    /// Whether it stands in the list of those that have something to save.
    listed: bool,
    touched: Timestamp,
}

impl Slot {
    /// `version` must be above that of any former slot of the account in this process.
    pub fn new(account: BareJid, facts: Facts, version: u64, now: Timestamp) -> Slot {
        let last = facts.last.map_or(0, |id| id.number);
        let mut seen = Seen::default();
        for (digest, direction, id, at) in facts.origins {
            seen.origins.remember(digest, direction, id, at);
        }
        seen.remember_rows(facts.keys);
        Slot {
            account,
            exists: facts.exists,
            unsettled: false,
            life: facts.life,
            blocked: usual::blocked(facts.blocked),
            preferences: usual::preferences(facts.preferences),
            version,
            view: None,
            last,
            sessions: Vec::new(),
            owed: Tracked::default(),
            ended: VecDeque::new(),
            farewells: Farewells::default(),
            pending: Pending::new(facts.position, facts.last, facts.waiting, facts.more),
            seen,
            collected: Vec::new(),
            archived: facts.archived,
            archived_saved: facts.archived,
            listed: false,
            touched: now,
        }
    }

    /// The present view, made anew only when something in it has changed.
    pub fn view(&mut self) -> Arc<View> {
        if let Some(view) = self.view.as_ref().filter(|view| !self.is_quota_old(view)) {
            return view.clone();
        }
        let sessions = self.sessions.iter().map(Session::view).collect();
        let view = Arc::new(View {
            version: ViewVersion(self.version),
            account: self.account.clone(),
            exists: self.exists,
            sessions,
            blocked: self.blocked.clone(),
            preferences: self.preferences.clone(),
            waiting: self.pending.len(),
            waiting_bytes: self.pending.bytes(),
            archived_bytes: self.archived,
        });
        self.view = Some(view.clone());
        view
    }

    /// Whether what waits and what is archived is no longer as `view` counts it, which quotas are judged by. It decides only
    /// where nobody takes it; while somebody reads, it need not be exact.
    pub fn is_quota_old(&self, view: &View) -> bool {
        let off = view.waiting.abs_diff(self.pending.len());
        let bytes_off = view.archived_bytes.abs_diff(self.archived);
        let exact = self.sessions.is_empty();
        off > if exact { 0 } else { 16 } || bytes_off > if exact { 0 } else { 16 * 1024 }
    }

    /// What decisions depend on has changed (rule 24).
    fn decide_anew(&mut self) {
        self.version += 1;
        self.view = None;
    }

    fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == id)
    }

    fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// The session under `epoch`; a former owner finds nothing (rule 21), nor does anybody before it is registered again
    /// (rule 9).
    fn owned_mut(&mut self, id: SessionId, epoch: Epoch) -> Option<&mut Session> {
        let is_owner = |known: Epoch| known == epoch || Promise::Fence.is_broken();
        self.session_mut(id).filter(|session| is_owner(session.epoch) && !session.doubtful)
    }

    /// In which life of its store it is.
    pub fn live_in(&mut self, life: Life) {
        self.life = life;
    }

    /// Rows are stored; `handled` never falls (rule 6). `false`: the session is somebody else's, or nobody's before it is
    /// registered again.
    pub fn settle(&mut self, stored: &[ArchiveId], handled: Option<(SessionId, Epoch, Handled)>) -> bool {
        for id in stored {
            self.owed.remove(id);
        }
        let Some((id, epoch, Handled(handled))) = handled else { return true };
        if let Some(session) = self.owned_mut(id, epoch) {
            session.handled = session.handled.max(handled);
            return true;
        }
        if let Some(over) = self.ended.iter_mut().find(|over| over.id == id && over.epoch == epoch) {
            // What was under way when it ended is handled now.
            let counted = Handled(handled.saturating_sub(over.base.0));
            over.handled = over.handled.map(|known| known.max(counted));
        }
        self.session(id).is_none()
    }

    /// What is committed and not stored yet.
    pub fn owed(&self) -> Vec<Owed> {
        self.owed.values().filter_map(|stanza| stanza.row()).collect()
    }

    /// Since when the oldest of it waits.
    pub fn owes_since(&self) -> Option<Timestamp> {
        self.owed.first_key_value().map(|(_, stanza)| stanza.committed.at)
    }

    /// The last number given out.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Rows up to this number are in the store.
    pub fn raise(&mut self, number: u64) {
        self.last = self.last.max(number);
    }

    /// Account, block list or preferences were changed in their store.
    pub fn refresh(&mut self, exists: bool, blocked: BlockList, preferences: Preferences) {
        if self.exists && !exists {
            self.pending = Pending::new(Position::default(), None, Vec::new(), false);
            self.owed.clear();
            self.collected.clear();
            (self.archived, self.archived_saved) = (0, 0);
            self.seen.clear();
        }
        (self.exists, self.unsettled) = (exists, false);
        self.blocked = usual::blocked(blocked);
        self.preferences = usual::preferences(preferences);
        self.decide_anew();
    }

    /// What an administrator sees.
    pub fn infos(&self) -> Vec<SessionInfo> {
        self.sessions.iter().map(Session::info).collect()
    }

    /// Who holds an entry and has not acknowledged it.
    pub fn holders(&self, id: ArchiveId) -> Vec<Holding> {
        self.sessions.iter().filter_map(|session| session.holding(id)).collect()
    }

    /// Sessions whose time to be resumed is over.
    pub fn expired(&self, now: Timestamp) -> Vec<SessionId> {
        let over = |session: &&Session| session.expires.is_some_and(|at| at <= now);
        self.sessions.iter().filter(over).map(|session| session.id).collect()
    }

    /// Whether it is to be put on the list of those that have something to save: once.
    pub fn enlist(&mut self) -> bool {
        let grown = self.archived.abs_diff(self.archived_saved) >= UNSAVED;
        let changed = self.pending.is_changed() || !self.collected.is_empty() || grown;
        let enlist = !self.listed && changed;
        self.listed |= enlist;
        enlist
    }

    /// It was taken from the list.
    pub fn delist(&mut self) {
        self.listed = false;
    }

    /// The position, if it has changed since it was saved.
    pub fn take_position(&mut self) -> Option<Position> {
        self.pending.take_changed()
    }

    /// Archived bytes that came, or went because they were too old.
    pub fn count_archived(&mut self, more: u64, less: u64) {
        self.archived = self.archived.saturating_add(more).saturating_sub(less);
    }

    /// Bytes of what is archived, if that has changed since it was saved.
    pub fn take_archived(&mut self) -> Option<u64> {
        let changed = self.archived != self.archived_saved;
        self.archived_saved = self.archived;
        changed.then_some(self.archived)
    }

    /// Rows of the spool that nobody needs any more.
    pub fn take_collected(&mut self) -> Vec<ArchiveId> {
        let first = self.sessions.iter().filter_map(Session::backlog_after).min();
        let (gone, kept) = std::mem::take(&mut self.collected)
            .into_iter()
            .partition(|id| first.is_none_or(|after| id.number <= after));
        self.collected = kept;
        gone
    }

    /// Whether it can be forgotten: what it knows can be read again.
    pub fn is_unused(&self, now: Timestamp, idle: Duration) -> bool {
        self.sessions.is_empty()
            && self.farewells.is_empty()
            && self.owed.is_empty()
            && !self.pending.is_changed()
            && self.archived == self.archived_saved
            && now.since(self.touched) >= idle
    }

    /// That of the present view, or of the next one.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When the first of its waiting sessions may no longer be resumed, or the first farewell is anybody's to say.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let expires = self.sessions.iter().filter_map(|session| session.expires);
        expires.chain(self.farewells.next()).min()
    }

    /// Nothing in it need be kept: no session, nothing owed, nothing that is not in the store.
    pub fn is_at_rest(&self) -> bool {
        self.sessions.is_empty()
            && self.farewells.is_empty()
            && self.owed.is_empty()
            && self.collected.is_empty()
            && !self.unsettled
            && !self.pending.is_changed()
    }

    /// Account, block list or preferences are about to change in their store: until `refresh` nothing that is known of
    /// them here holds (rule 23).
    pub fn unsettle(&mut self) {
        self.unsettled = true;
        self.decide_anew();
    }

    /// Whether account, block list and preferences are to be asked of their store.
    pub fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// The position, if it is not the one that its store has.
    pub fn changed_position(&self) -> Option<Position> {
        self.pending.is_changed().then(|| self.pending.position())
    }

    /// Its store has this one.
    pub fn saved_position(&mut self, position: &Position) {
        self.pending.saved(position);
    }

    /// Rows of the spool that nobody needs any more.
    pub fn collected(&self) -> Vec<ArchiveId> {
        let first = self.sessions.iter().filter_map(Session::backlog_after).min();
        let is_over = |id: &&ArchiveId| first.is_none_or(|after| id.number <= after);
        self.collected.iter().filter(is_over).copied().collect()
    }

    /// They are gone.
    pub fn deleted(&mut self, ids: &[ArchiveId]) {
        self.collected.retain(|id| !ids.contains(id));
    }

    /// Whether there is something to save in a store: a position, or rows of the spool to be removed.
    pub fn has_changed(&self) -> bool {
        self.pending.is_changed() || !self.collected.is_empty()
    }

    /// Forgets what cannot be asked for again.
    pub fn tidy(&mut self, now: Timestamp, limits: &Limits) {
        self.seen.forget_silent(now, limits.resume_within);
        while self.ended.front().is_some_and(|over| now.since(over.at) > ENDED_FOR) {
            self.ended.pop_front();
        }
    }

    /// The last `h` of a session that is over.
    pub fn last_handled(&self, id: SessionId) -> Option<Handled> {
        self.ended.iter().rev().find(|over| over.id == id)?.handled
    }

    /// Neither there nor over: no such session is known, which says that there is none only where nothing was forgotten (rule 9).
    pub fn is_unknown(&self, id: SessionId) -> bool {
        self.session(id).is_none() && self.ended.iter().all(|over| over.id != id)
    }

    /// Whose it is.
    pub fn account(&self) -> &BareJid {
        &self.account
    }

    /// In the order of binding.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// A session that a clean stop had saved.
    pub fn restore(&mut self, session: Session) {
        self.sessions.reserve_exact(1); // most accounts have one, and room for four is a kilobyte
        self.sessions.push(session);
        self.decide_anew();
    }
}
