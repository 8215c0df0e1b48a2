//! The commit: gives ids, appends to logs, numbers for those that can take it.

use std::iter::repeat;
use std::sync::Arc;

use starling_ports::archive::{Born, Direction, StanzaKey, Table};
use starling_ports::delivery::{Committed, Copy};
use starling_ports::ids::{ArchiveId, Epoch, Handled, SessionId};
use starling_ports::sessions::{CommitReply, Handed, Keep, Outcome, Planned, Role, SenderKey, ViewVersion};
use starling_stanza::Kind;

use crate::log::{Logged, Stanza};
use crate::seen::Past;
use crate::session::{Backlog, Session};
use crate::{Context, Limits, OWED, Slot};

/// What a target did with an entry.
enum Took {
    /// It has a number and goes out.
    Handed(Vec<Handed>),
    /// It waits in memory for its number.
    Held,
    /// The same, and the connection, whose log is full, is to hear of it.
    HeldWith(Handed),
    /// It comes from the store.
    Backlog,
    /// The same from now on: the connection is to hear of it.
    BacklogWith(Handed),
    /// It is lost to this session: presence or an unstorable message of a full one.
    Dropped,
}

impl Slot {
    /// See `Sessions::commit`.
    pub fn commit(
        &mut self,
        context: &mut Context<'_>,
        version: ViewVersion,
        planned: Vec<Planned>,
        handled: Option<(SessionId, Epoch, Handled)>,
    ) -> CommitReply {
        self.touched = context.now;
        if version.0 != self.version {
            return CommitReply::Stale(self.view());
        }
        let mut outcomes = Vec::with_capacity(planned.len());
        let was_done = self.beside_what_was_done(&planned);
        for (stanza, was_done) in planned.into_iter().zip(was_done.into_iter().chain(repeat(false))) {
            if was_done {
                outcomes.push(Outcome::Seen { id: None, row: None, handed: Vec::new() });
                continue;
            }
            match self.commit_one(context, stanza) {
                Some(outcome) => outcomes.push(outcome),
                None if outcomes.is_empty() => return CommitReply::Wait,
                None => return CommitReply::Done(outcomes),
            }
        }
        self.settle(&[], handled);
        CommitReply::Done(outcomes)
    }

    /// Which stanzas without a key were committed with the one that has one, as the results of an archive are with the answer behind
    /// them: the same commit had both, so a retry of it writes neither (rule 3), and a fenced owner's does not either (rule 21).
    fn beside_what_was_done(&self, planned: &[Planned]) -> Vec<bool> {
        let is_done = |one: &Planned| Some(!matches!(self.seen.look(&one.key?, one.hash), Past::New));
        if planned.iter().all(|one| one.key.is_some()) {
            return Vec::new();
        }
        let mut was_done = vec![false; planned.len()];
        let mut answer = planned.iter().rev().find_map(is_done).unwrap_or_default();
        for (one, was_done) in planned.iter().zip(&mut was_done).rev() {
            match is_done(one) {
                Some(is_done) => answer = is_done,
                None => *was_done = answer,
            }
        }
        was_done
    }

    fn commit_one(&mut self, context: &mut Context<'_>, planned: Planned) -> Option<Outcome> {
        if let Some(key) = &planned.key {
            match self.seen.look(key, planned.hash) {
                Past::New => {}
                Past::Done(id, stanza) => return Some(self.seen_outcome(id, stanza.as_ref())),
                Past::Fenced => return Some(Outcome::Fenced),
            }
        }
        let direction = direction(&planned);
        if let Some(origin) = &planned.origin
            && let Some(id) = self.seen.origins.find(origin.digest, direction, context.now)
        {
            return Some(self.seen_outcome(Some(id), None));
        }
        if self.refuses(context.limits, &planned) || self.waits(context, &planned) {
            return None;
        }
        let id = planned.keep.as_ref().map(|_| self.next_id(context));
        let is_answer = planned.key.is_none_or(|key| key.role == Role::Answer);
        let committed = Arc::new(Committed { id, at: context.now, wire: planned.wire });
        let origin = planned.origin.map(|origin| origin.digest);
        let (life, hash) = (self.life, planned.hash);
        let key = planned.key.map(|SenderKey { session, number, role, .. }| StanzaKey {
            session,
            number,
            role,
            hash,
        });
        let stanza = Arc::new(Stanza::new(committed, planned.keep, origin).born_as(Born { life, key }));
        if let Some(id) = stanza.deliverable() {
            self.pending.add(id, stanza.committed.wire.len());
        }
        if let Some(key) = &planned.key {
            self.seen.remember(key, planned.hash, id, &stanza, context.now);
        }
        if let (Some(digest), Some(id)) = (stanza.origin, id) {
            self.seen.origins.remember(digest, direction, id, context.now);
        }
        let (mut handed, mut taken, mut backlogs) = (Vec::new(), 0, 0);
        for (target, copy) in planned.targets {
            let Some(session) = self.session_mut(target) else { continue };
            let logged =
                Logged { stanza: stanza.clone(), copy, late: false, coalesce: planned.coalesce.clone() };
            match offer(session, context.limits, logged, planned.urgent, is_answer) {
                Took::Handed(entries) => {
                    // What others have committed and not stored yet is left to a pull, which stores it first (rule 12).
                    let is_owed = |of: ArchiveId| self.owed.contains_key(&of);
                    handed.extend(
                        entries.into_iter().filter(|one| !one.entry.committed.id.is_some_and(is_owed)),
                    );
                    taken += 1;
                }
                Took::BacklogWith(hint) => {
                    handed.push(hint);
                    backlogs += 1;
                }
                Took::Backlog => backlogs += 1,
                Took::HeldWith(hint) => handed.push(hint),
                Took::Held | Took::Dropped => {}
            }
        }
        let needs_no_row = |keep: &Keep| keep.only_if_nobody && taken > 0 && backlogs == 0;
        let row = if stanza.keep.as_ref().is_some_and(needs_no_row) { None } else { self.owe(&stanza) };
        Some(Outcome::Done { id, row, handed })
    }

    /// Notes that the row of `stanza` is to be stored.
    pub fn owe(&mut self, stanza: &Arc<Stanza>) -> Option<(Table, starling_ports::archive::Row)> {
        let owed = stanza.row()?;
        stanza.has_row.store(true, std::sync::atomic::Ordering::Relaxed);
        self.owed.insert(owed.row.id, stanza.clone());
        if owed.table == Table::Archive {
            self.count_archived(owed.row.wire.len() as u64, 0);
        }
        Some((owed.table, owed.row))
    }

    /// `max(last + 1, clock)`, with 64 bits that nobody guesses.
    fn next_id(&mut self, context: &mut Context<'_>) -> ArchiveId {
        self.last = (self.last + 1).max(context.clock.0);
        ArchiveId { number: self.last, random: (context.random)() }
    }

    /// What was committed before: what of it is still owed, and who still holds it under which number.
    fn seen_outcome(&self, id: Option<ArchiveId>, stanza: Option<&Arc<Stanza>>) -> Outcome {
        let handed = match stanza {
            Some(stanza) => self.held_by(|logged| Arc::ptr_eq(stanza, &logged.stanza)),
            None => id.map(|id| self.handed(id)).unwrap_or_default(),
        };
        let row = id.and_then(|id| self.owed.get(&id)?.row()).map(|owed| (owed.table, owed.row));
        Outcome::Seen { id, row, handed }
    }

    /// In which logs of attached sessions the message lies.
    pub fn handed(&self, id: ArchiveId) -> Vec<Handed> {
        self.held_by(|logged| logged.stanza.id() == Some(id))
    }

    fn held_by(&self, is_it: impl Fn(&Logged) -> bool) -> Vec<Handed> {
        let mut handed = Vec::new();
        for session in self.sessions.iter().filter(|session| session.attached && !session.doubtful) {
            for (at, logged) in session.log.iter().enumerate().filter(|(_, logged)| is_it(logged)) {
                let entry = logged.entry(session.acknowledged + 1 + at as u64);
                let (jid, node, epoch) = (session.jid.clone(), session.node, session.epoch);
                handed.push(Handed { session: session.id, jid, node, epoch, entry });
            }
        }
        handed
    }

    /// Rule 13: nothing more that is kept is taken while the store does not keep up. What was committed before has been
    /// answered already, and the sender's own copy follows what was committed elsewhere: neither is refused.
    fn waits(&self, context: &Context<'_>, planned: &Planned) -> bool {
        let is_copy = planned.key.is_some_and(|key| key.role == Role::Sent);
        if planned.keep.is_none() || is_copy {
            return false;
        }
        let oldest = self.owes_since();
        let is_late = oldest.is_some_and(|at| context.now.since(at) > context.limits.owed_for);
        context.is_failing || is_late || self.owed.len() >= OWED
    }

    /// Rule 20: a request of somebody else that no target can keep is answered by `wait`. Answers are never refused:
    /// the client that asked for them stops being read instead.
    fn refuses(&self, limits: &Limits, planned: &Planned) -> bool {
        let is_foreign = planned.key.is_some_and(|key| key.role == Role::Receive);
        if planned.wire.kind() != Kind::Iq
            || planned.keep.is_some()
            || !is_foreign
            || planned.targets.is_empty()
        {
            return false;
        }
        let full = |id: &SessionId| self.session(*id).is_some_and(|session| is_full(session, limits));
        planned.targets.iter().all(|(id, _)| full(id))
    }
}

/// Neither a number nor a place to wait for one.
fn is_full(session: &Session, limits: &Limits) -> bool {
    let can_number =
        session.backlog.is_none() && session.attached && session.has_room(limits) && session.held.is_empty();
    !can_number && session.is_crowded(limits)
}

fn direction(planned: &Planned) -> Direction {
    match (&planned.keep, planned.key.map(|key| key.role)) {
        (Some(keep), _) => keep.direction,
        (None, Some(Role::Sent)) => Direction::Sent,
        (None, _) => Direction::Received,
    }
}

fn offer(session: &mut Session, limits: &Limits, logged: Logged, urgent: bool, is_answer: bool) -> Took {
    let storable = logged.stanza.is_storable();
    if session.backlog.is_some() {
        if storable {
            return Took::Backlog;
        }
        // What the server itself says is in no order with what others have sent, and the client waits for it.
        if is_answer
            && logged.coalesce.is_none()
            && session.attached
            && session.log.len() < limits.stanzas * 2
        {
            return Took::Handed(vec![session.push(logged)]);
        }
        return hold(session, limits, logged, is_answer);
    }
    let room = session.has_room(limits) || (is_answer && !storable && session.log.len() < limits.stanzas * 2);
    if room && session.is_flowing(urgent) {
        let mut handed = session.flush(limits, usize::MAX);
        if session.held.is_empty() {
            handed.push(session.push(logged));
            return Took::Handed(handed);
        }
        handed.push(session.hint(&logged)); // the log is full now: it goes out after those before it
        session.hold(logged);
        return Took::Handed(handed);
    }
    if storable && !session.may_hold(limits) {
        let after = logged.stanza.id().map_or(0, |id| id.number.saturating_sub(1));
        session.backlog = Some(Backlog { after, before: 0 });
        return if session.wants_hint() { Took::BacklogWith(session.hint(&logged)) } else { Took::Backlog };
    }
    hold(session, limits, logged, is_answer)
}

fn hold(session: &mut Session, limits: &Limits, logged: Logged, is_answer: bool) -> Took {
    let replaces = logged.coalesce.is_some()
        && session.held.iter().chain(&session.behind).any(|waiting| waiting.coalesce == logged.coalesce);
    if session.is_crowded(limits) && !replaces && !is_answer {
        return Took::Dropped;
    }
    let hint = session.wants_hint().then(|| session.hint(&logged));
    session.hold(logged);
    hint.map_or(Took::Held, Took::HeldWith)
}

/// How a session sees a message that it did not get when it was committed.
pub(crate) fn late(stanza: Arc<Stanza>) -> Logged {
    Logged { stanza, copy: Copy::Original, late: true, coalesce: None }
}
