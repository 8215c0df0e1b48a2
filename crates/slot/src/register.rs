//! Registering again: a session that the store has forgotten, or has as it once was, goes on as its node knows it (rule 9).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use starling_ports::archive::{Direction, Row, Table};
use starling_ports::delivery::{Committed, Copy, Outgoing};
use starling_ports::ids::{ArchiveId, Epoch};
use starling_ports::position::Position;
use starling_ports::sessions::{Flags, Portrait, Registered, Registration};

use crate::log::{Logged, Stanza};
use crate::session::Session;
use crate::{Context, Slot};

/// Above every epoch that a claim may have given which the store has forgotten.
const EPOCHS: u64 = 1 << 20;

/// What the archive has of the entries of a registration, and of what it says is acknowledged.
pub type Rows = BTreeMap<ArchiveId, (Table, Row)>;

impl Slot {
    /// See `Sessions::register`. What cannot be registered has no effect.
    pub fn register(
        &mut self,
        context: &Context<'_>,
        registration: &Registration,
        rows: &Rows,
    ) -> Registered {
        let epoch = Epoch(registration.epoch.0 + EPOCHS);
        let known = self.session(registration.session);
        if let Some(known) = known.filter(|known| !known.doubtful && known.token == Some(registration.token))
        {
            return Registered::Again { epoch: known.epoch };
        }
        if !self.may_register(registration, epoch) {
            return Registered::Over;
        }
        self.touched = context.now;
        let at = self.sessions.iter().position(|session| session.id == registration.session);
        let former = at.map(|at| self.sessions.remove(at));
        let known = former.as_ref().map(Session::highest);
        let (mut session, acknowledged) = self.as_registered(context, registration, epoch, former, rows);
        // One that had the resource before it, and came back with an older record, is over already.
        self.sessions.retain(|other| other.jid != session.jid);
        self.done(acknowledged);
        self.remember_reached(rows, &registration.done);
        self.pending.learn(&registration.done);
        if known.is_some_and(|known| known < session.highest()) {
            self.skip_what_was_had(&mut session, &registration.done);
        }
        self.sessions.reserve_exact(1);
        self.sessions.push(session);
        self.give_what_lies_in_no_log();
        self.decide_anew();
        Registered::Again { epoch }
    }

    /// The record is from before its client had what it has: of what lay there without a number, and of what is read from the store, it
    /// may have acknowledged all that does not wait any more.
    fn skip_what_was_had(&self, session: &mut Session, done: &Position) {
        let was_had = |logged: &Logged| {
            let Some(id) = logged.stanza.id() else { return false };
            let waits = logged.stanza.deliverable().is_none() || self.pending.contains(id);
            !waits || Some(id) <= self.pending.low() || done.acknowledged.contains(&id)
        };
        for queue in [&mut session.held, &mut session.behind] {
            let gone = queue.iter().filter(|logged| was_had(logged)).map(Logged::bytes).sum();
            session.bytes = session.bytes.saturating_sub(gone);
            queue.retain(|logged| !was_had(logged));
        }
        if let Some(backlog) = &mut session.backlog {
            backlog.before = self.last;
        }
    }

    fn may_register(&self, registration: &Registration, epoch: Epoch) -> bool {
        let id = registration.session;
        let is_contiguous = registration
            .entries
            .iter()
            .zip(registration.acknowledged.0 + 1..)
            .all(|(one, at)| one.number.0 == at);
        let has_ended = self.ended.iter().any(|over| over.id == id);
        let is_taken = self.sessions.iter().any(|other| {
            // Another session has the resource, or another node has registered this one from a later claim.
            if other.id == id {
                if other.doubtful { other.epoch > registration.epoch } else { other.epoch >= epoch }
            } else {
                other.jid == registration.jid && !other.doubtful
            }
        });
        registration.life != self.life && is_contiguous && !has_ended && !is_taken
    }

    /// The session, and what of its former log is acknowledged.
    fn as_registered(
        &self,
        context: &Context<'_>,
        registration: &Registration,
        epoch: Epoch,
        former: Option<Session>,
        rows: &Rows,
    ) -> (Session, Vec<Logged>) {
        let Registration { session: id, jid, node, portrait, .. } = registration;
        let since = former.as_ref().map_or(context.now, |former| former.since);
        let mut session = Session::new(*id, jid.clone(), *node, since);
        session.epoch = epoch;
        session.token = Some(registration.token);
        // What the session has said of itself, and its node has not heard to be done, stands in the record, and may not be said again.
        let is_ahead = |former: &&Session| {
            let is_new = |number: u64| number > registration.handled.0;
            is_new(former.handled) || self.seen.answered(*id).into_iter().any(is_new)
        };
        let ahead = former.as_ref().filter(is_ahead).map(Session::portrait);
        let Portrait { flags, available, directed } = ahead.unwrap_or_else(|| portrait.clone());
        session.flags = Flags { resumable: registration.resume.is_some(), ..flags };
        (session.available, session.directed) = (available, directed);
        session.resume = registration.resume.map(|resume| resume.min(context.limits.resume_within));
        session.base = registration.base;
        session.handled = registration.handled.0;
        session.acknowledged = registration.acknowledged.0;
        for outgoing in &registration.entries {
            session.push(logged(outgoing, rows, context));
        }
        let Some(former) = former else { return (session, Vec::new()) };
        session.handled = session.handled.max(former.handled);
        session.backlog = former.backlog;
        let mut acknowledged = Vec::new();
        let mut numbers = former.acknowledged + 1..;
        let mut waits = VecDeque::new();
        for entry in former.log {
            let number = numbers.next().unwrap_or(u64::MAX);
            if number <= session.acknowledged {
                acknowledged.push(entry);
            } else if number > session.highest() {
                waits.push_back(entry); // it never came to the node: its number is another one's now
            }
        }
        let is_held = |entry: &Logged| entry.stanza.id().is_some_and(|id| session.holds(id));
        waits.extend(former.held);
        waits.retain(|entry| !is_held(entry));
        let behind: VecDeque<_> = former.behind.into_iter().filter(|entry| !is_held(entry)).collect();
        let queued = waits.iter().chain(&behind).map(Logged::bytes).sum::<usize>();
        (session.held, session.behind) = (waits, behind);
        session.bytes += queued;
        (session, acknowledged)
    }
}

/// As the node has it; of its row, where there is one, so that its acknowledgement ends what waits.
fn logged(outgoing: &Outgoing, rows: &Rows, context: &Context<'_>) -> Logged {
    let (late, coalesce) = (outgoing.late, None);
    let Some((table, row)) = outgoing.id.and_then(|id| rows.get(&id)) else {
        let committed = Arc::new(Committed { id: None, at: context.now, wire: outgoing.wire.clone() });
        return Logged {
            stanza: Arc::new(Stanza::new(committed, None, None)),
            copy: Copy::Original,
            late,
            coalesce,
        };
    };
    let copy = match (outgoing.address, row.direction) {
        (true, _) => Copy::Original,
        (false, Direction::Received) => Copy::CarbonReceived, // carbons are addressed when they are made
        (false, Direction::Sent) => Copy::CarbonSent,
    };
    Logged { stanza: Arc::new(Stanza::stored(*table, row.clone())), copy, late, coalesce }
}
