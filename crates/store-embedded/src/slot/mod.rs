//! The slot of one account: what the session log keeps of it, and its steps. No I/O, no locks, no clock of its own.

mod backlog;
mod commit;
mod estate;
mod log;
mod pending;
mod seen;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use starling_jid::BareJid;
use starling_ports::archive::{Direction, Row, Table};
use starling_ports::blocklist::BlockList;
use starling_ports::ids::{ArchiveId, Epoch, Handled, SessionId, Timestamp};
use starling_ports::position::Position;
use starling_ports::preferences::Preferences;
use starling_ports::sessions::{SessionInfo, View, ViewVersion};

pub(crate) use backlog::{Need, Scan};
pub(crate) use estate::Estate;
pub(crate) use log::{Logged, Stanza};
use pending::Pending;
pub(crate) use pending::Waiting;
use seen::Seen;
pub(crate) use seen::{ORIGIN_FOR, ORIGINS, Sender};
pub(crate) use session::{Backlog, Session};

/// How many committed rows may wait to be stored (rule 13).
const OWED: usize = 10_000;

/// How many archived bytes are counted before the count is saved: so much a kill makes it forget.
const UNSAVED: u64 = 64 * 1024;

/// What bounds a slot.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Entries of one session's log.
    pub(crate) stanzas: usize,
    /// Bytes of one session's log.
    pub(crate) bytes: usize,
    /// The longest time to be resumed.
    pub(crate) resume_within: Duration,
    /// How old a row may be that is not stored yet (rule 13).
    pub(crate) owed_for: Duration,
}

/// What a step needs from outside.
pub(crate) struct Context<'a> {
    pub(crate) now: Timestamp,
    pub(crate) limits: &'a Limits,
    /// The disk did not take the last write.
    pub(crate) is_failing: bool,
    /// 64 random bits.
    pub(crate) random: &'a mut dyn FnMut() -> u64,
    /// The state of a sender's session, wherever it lives.
    pub(crate) sender: &'a dyn Fn(SessionId) -> Option<Arc<Sender>>,
}

/// Digest and side of a message with an origin-id, what it became, and when.
pub(crate) type KnownOrigin = (u128, Direction, ArchiveId, Timestamp);

/// What the store knows of an account when its slot is made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) exists: bool,
    pub(crate) blocked: BlockList,
    pub(crate) preferences: Preferences,
    /// The highest id ever kept.
    pub(crate) last: Option<ArchiveId>,
    pub(crate) position: Position,
    /// Deliverable rows past the position, oldest first.
    pub(crate) waiting: Vec<Waiting>,
    /// Whether `waiting` is not all.
    pub(crate) more: bool,
    /// The newest messages that carry an origin-id.
    pub(crate) origins: Vec<KnownOrigin>,
    /// Bytes of what is archived.
    pub(crate) archived: u64,
}

/// A committed row that is not stored yet.
#[derive(Debug, Clone)]
pub(crate) struct Owed {
    pub(crate) table: Table,
    pub(crate) row: Row,
}

pub(crate) struct Slot {
    account: BareJid,
    exists: bool,
    blocked: Arc<BlockList>,
    preferences: Arc<Preferences>,
    version: u64,
    view: Option<Arc<View>>,
    /// The last number given out.
    last: u64,
    sessions: Vec<Session>,
    owed: BTreeMap<ArchiveId, Owed>,
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
    pub(crate) fn new(account: BareJid, facts: Facts, version: u64, now: Timestamp) -> Slot {
        let last = facts.last.map_or(0, |id| id.number);
        let mut seen = Seen::default();
        for (digest, direction, id, at) in facts.origins {
            seen.remember_origin(digest, direction, id, at);
        }
        Slot {
            account,
            exists: facts.exists,
            blocked: Arc::new(facts.blocked),
            preferences: Arc::new(facts.preferences),
            version,
            view: None,
            last,
            sessions: Vec::new(),
            owed: BTreeMap::new(),
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
    pub(crate) fn view(&mut self) -> Arc<View> {
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

    /// The count of what waits decides only where nobody takes it; while somebody reads, it need not be exact.
    fn is_quota_old(&self, view: &View) -> bool {
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

    /// The session under `epoch`; a former owner finds nothing (rule 21).
    fn owned_mut(&mut self, id: SessionId, epoch: Epoch) -> Option<&mut Session> {
        self.session_mut(id).filter(|session| session.epoch == epoch)
    }

    /// Rows are stored; `handled` never falls (rule 6).
    pub(crate) fn settle(&mut self, stored: &[ArchiveId], handled: Option<(SessionId, Epoch, Handled)>) {
        for id in stored {
            self.owed.remove(id);
        }
        if let Some((id, epoch, Handled(handled))) = handled
            && let Some(session) = self.owned_mut(id, epoch)
        {
            session.sender.handle(handled);
        }
    }

    /// What is committed and not stored yet.
    pub(crate) fn owed(&self) -> Vec<Owed> {
        self.owed.values().cloned().collect()
    }

    /// Since when the oldest of it waits.
    pub(crate) fn owes_since(&self) -> Option<Timestamp> {
        self.owed.first_key_value().map(|(_, owed)| owed.row.at)
    }

    /// The last number given out.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Rows up to this number are in the store.
    pub(crate) fn raise(&mut self, number: u64) {
        self.last = self.last.max(number);
    }

    /// Account, block list or preferences were changed in their store.
    pub(crate) fn refresh(&mut self, exists: bool, blocked: BlockList, preferences: Preferences) {
        if self.exists && !exists {
            self.pending = Pending::new(Position::default(), None, Vec::new(), false);
            self.owed.clear();
            self.collected.clear();
            (self.archived, self.archived_saved) = (0, 0);
            self.seen = Seen::default();
        }
        self.exists = exists;
        self.blocked = Arc::new(blocked);
        self.preferences = Arc::new(preferences);
        self.decide_anew();
    }

    /// What an administrator sees.
    pub(crate) fn infos(&self) -> Vec<SessionInfo> {
        self.sessions.iter().map(Session::info).collect()
    }

    /// Sessions whose time to be resumed is over.
    pub(crate) fn expired(&self, now: Timestamp) -> Vec<SessionId> {
        let over = |session: &&Session| session.expires.is_some_and(|at| at <= now);
        self.sessions.iter().filter(over).map(|session| session.id).collect()
    }

    /// All its sessions, but `except`.
    pub(crate) fn session_ids(&self, except: Option<SessionId>) -> Vec<SessionId> {
        self.sessions.iter().map(|session| session.id).filter(|id| Some(*id) != except).collect()
    }

    /// Whether it is to be put on the list of those that have something to save: once.
    pub(crate) fn enlist(&mut self) -> bool {
        let grown = self.archived.abs_diff(self.archived_saved) >= UNSAVED;
        let changed = self.pending.is_changed() || !self.collected.is_empty() || grown;
        let enlist = !self.listed && changed;
        self.listed |= enlist;
        enlist
    }

    /// It was taken from the list.
    pub(crate) fn delist(&mut self) {
        self.listed = false;
    }

    /// The position, if it has changed since it was saved.
    pub(crate) fn take_position(&mut self) -> Option<Position> {
        self.pending.take_changed()
    }

    /// Archived bytes that came, or went because they were too old.
    pub(crate) fn count_archived(&mut self, more: u64, less: u64) {
        self.archived = self.archived.saturating_add(more).saturating_sub(less);
    }

    /// Bytes of what is archived, if that has changed since it was saved.
    pub(crate) fn take_archived(&mut self) -> Option<u64> {
        let changed = self.archived != self.archived_saved;
        self.archived_saved = self.archived;
        changed.then_some(self.archived)
    }

    /// Rows of the spool that nobody needs any more.
    pub(crate) fn take_collected(&mut self) -> Vec<ArchiveId> {
        let first = self.sessions.iter().filter_map(Session::backlog_after).min();
        let (gone, kept) = std::mem::take(&mut self.collected)
            .into_iter()
            .partition(|id| first.is_none_or(|after| id.number <= after));
        self.collected = kept;
        gone
    }

    /// Whether it can be forgotten: what it knows can be read again.
    pub(crate) fn is_unused(&self, now: Timestamp, idle: Duration) -> bool {
        self.sessions.is_empty()
            && self.owed.is_empty()
            && !self.pending.is_changed()
            && self.archived == self.archived_saved
            && now.since(self.touched) >= idle
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Forgets what cannot be asked for again.
    pub(crate) fn tidy(&mut self) {
        self.seen.forget_ended();
    }

    pub(crate) fn account(&self) -> &BareJid {
        &self.account
    }

    pub(crate) fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// A session that a clean stop had saved.
    pub(crate) fn restore(&mut self, session: Session) {
        self.sessions.reserve_exact(1); // most accounts have one, and room for four is a kilobyte
        self.sessions.push(session);
        self.decide_anew();
    }
}
