//! Binding, claiming, detaching, and what is left when a session ends (rules 18 and 21).

use std::sync::Arc;

use starling_ports::ids::{Handled, LogNumber, NodeId, SessionId};
use starling_ports::position::Position;
use starling_ports::sessions::{Bind, Change, Changed, Claim, Claimed, Detach, Detached, Ended, Flags};

use crate::commit::late;
use crate::log::Logged;
use crate::session::{Backlog, Session};
use crate::{Context, ENDED, Over, Slot, farewell};

/// What a session leaves.
pub struct Estate {
    /// What others must hear of it.
    pub ended: Ended,
    /// The last `h`, as its client counts, for who tries to resume it.
    pub handled: Handled,
    /// What it does not count: what came before XEP-0198 began.
    pub base: Handled,
}

impl Slot {
    /// A new session; a former one of the same resource ends in the same step.
    pub fn bind(&mut self, context: &mut Context<'_>, bind: Bind) -> (SessionId, Option<Estate>) {
        self.touched = context.now;
        let mut bits = || u128::from((context.random)());
        let id = SessionId((bits() << 64) | bits());
        let same = self.sessions.iter().find(|session| session.jid == bind.jid).map(|session| session.id);
        let mut session = Session::new(id, bind.jid, bind.node, context.now);
        let mut replaced = same.and_then(|same| self.end(context, same));
        if let Some(Estate { ended: waited, .. }) = replaced.as_mut().filter(|estate| !estate.ended.attached)
        {
            waited.farewell = self.bequeath_believers(waited.id, &mut session);
        }
        self.sessions.reserve_exact(1); // most accounts have one, and room for four is a kilobyte
        self.sessions.push(session);
        self.decide_anew();
        (id, replaced)
    }

    /// Changes a session's own state.
    pub fn change(
        &mut self,
        context: &Context<'_>,
        id: SessionId,
        epoch: starling_ports::ids::Epoch,
        change: Change,
    ) -> Changed {
        let first = self.pending.before_first();
        let last = self.last;
        let waits = !self.pending.is_empty();
        let Some(session) = self.owned_mut(id, epoch) else { return Changed::Fenced };
        match change {
            Change::Presence(available) => {
                let took = session.takes_bare();
                let priority = |available: &Option<Arc<_>>| {
                    available.as_ref().map(|a: &Arc<starling_ports::sessions::Availability>| a.priority)
                };
                let same = priority(&session.available) == priority(&available);
                let was_available = std::mem::replace(&mut session.available, available).is_some();
                let begins = session.takes_bare() && !took && waits;
                if begins {
                    let after = session.backlog.map_or(first, |backlog| backlog.after.min(first));
                    session.backlog = Some(Backlog { after, before: last });
                }
                let left = session.available.is_none().then(|| farewell::of(session, was_available));
                if same {
                    self.view = None; // no decision depends on the words
                } else {
                    self.decide_anew();
                }
                let Some(left) = left else {
                    return if begins { Changed::Pull } else { Changed::Nothing };
                };
                self.owe_farewell(left, context.now).map_or(Changed::Nothing, Changed::Left)
            }
            Change::Directed { to, available } => {
                let directed = Arc::make_mut(&mut session.directed);
                if available {
                    farewell::remember(directed, to);
                } else {
                    directed.retain(|known| *known != to);
                }
                self.view = None; // no decision of a commit depends on it
                Changed::Nothing
            }
            Change::Flags(flags) => {
                let flags = Flags { sm: session.flags.sm, resumable: session.flags.resumable, ..flags };
                let changed = flags != session.flags;
                let wakes = session.flags.inactive && !flags.inactive && !session.held.is_empty();
                session.flags = flags;
                if changed {
                    self.decide_anew();
                }
                if wakes { Changed::Pull } else { Changed::Nothing }
            }
            Change::EnableSm { resume, base } => {
                session.flags.sm = true;
                session.flags.resumable = resume.is_some();
                session.resume = resume.map(|resume| resume.min(context.limits.resume_within));
                // What went before is acknowledged by the first `h`, not by this: it may still be on its way.
                session.base = base;
                self.decide_anew();
                Changed::Nothing
            }
        }
    }

    /// Resumes a session.
    pub fn claim(&mut self, claim: &Claim) -> Option<Claimed> {
        if self.session(claim.session).is_some_and(|session| session.doubtful) {
            return Some(Claimed::Doubtful);
        }
        let session = self.session_mut(claim.session).filter(|session| session.flags.resumable)?;
        let number = session.extend(claim.h);
        if number > session.highest() {
            return Some(Claimed::TooHigh {
                sent: LogNumber(session.highest().saturating_sub(session.base.sent.0)),
            });
        }
        let mut fenced = None;
        if session.token != Some(claim.token) {
            fenced = session.attached.then_some((session.node, session.epoch));
            session.epoch.0 += 1;
        }
        session.token = Some(claim.token);
        session.node = claim.node;
        session.attached = true;
        session.expires = None;
        session.flags.inactive = false; // XEP-0352 §5: a resumed stream begins active
        let gone = session.trim(number);
        let mut claimed = Claimed::Resumed {
            jid: session.jid.clone(),
            epoch: session.epoch,
            handled: Handled(session.handled),
            base: session.base,
            acknowledged: LogNumber(session.acknowledged),
            portrait: session.portrait(),
            fenced,
            done: Position::default(),
        };
        self.done(gone);
        if let Claimed::Resumed { done, .. } = &mut claimed {
            *done = self.pending.unsaved();
        }
        self.view = None;
        Some(claimed)
    }

    /// The socket is gone.
    pub fn detach(
        &mut self,
        context: &mut Context<'_>,
        id: SessionId,
        epoch: starling_ports::ids::Epoch,
        why: Detach,
    ) -> Detached<Estate> {
        self.touched = context.now;
        let Some(session) = self.owned_mut(id, epoch) else { return Detached::Nobody };
        match (why, session.resume) {
            (Detach::Lost, _) if !session.attached => Detached::Waits,
            (Detach::Lost, Some(resume)) => {
                session.attached = false;
                session.token = None;
                session.expires = Some(context.now.after(resume));
                self.view = None;
                Detached::Waits
            }
            _ => self.end(context, id).map_or(Detached::Nobody, Detached::Ended),
        }
    }

    /// `node` has said nothing for a lease: its sessions wait to be resumed, or have ended.
    pub fn let_go(&mut self, context: &mut Context<'_>, node: NodeId) -> Vec<Estate> {
        let here = self.sessions.iter().filter(|session| session.attached && session.node == node);
        let here: Vec<_> = here.map(|session| (session.id, session.epoch, session.doubtful)).collect();
        let mut estates = Vec::new();
        for (id, epoch, is_doubtful) in here {
            estates.extend(match is_doubtful {
                true => self.end(context, id),
                false => self.detach(context, id, epoch, Detach::Lost).ended(),
            });
        }
        estates
    }

    /// Ends a session: what waits goes to the account's other sessions, or goes on waiting in the store.
    pub fn end(&mut self, context: &mut Context<'_>, id: SessionId) -> Option<Estate> {
        let at = self.sessions.iter().position(|session| session.id == id)?;
        let mut session = self.sessions.remove(at);
        self.touched = context.now;
        let is_available = session.available.is_some();
        let mut farewell = farewell::of(&mut session, is_available);
        let handled = Handled(session.handled.saturating_sub(session.base.handled.0));
        let base = session.base.handled;
        let told = Some(handled).filter(|_| !session.doubtful); // better none than a false one
        self.ended.push_back(Over { id, epoch: session.epoch, handled: told, base, at: context.now });
        if self.ended.len() > ENDED {
            self.ended.pop_front();
        }
        let mut ended = Ended {
            id,
            jid: session.jid,
            node: session.node,
            epoch: session.epoch,
            attached: session.attached,
            farewell: None,
            handed: Vec::new(),
        };
        for logged in session.log.into_iter().chain(session.held).chain(session.behind) {
            match logged.stanza.deliverable() {
                Some(pending) if self.pending.contains(pending) => {
                    self.bequeath(context, &logged, &mut ended)
                }
                Some(_) => {}
                None => farewell::owe_answer(&mut farewell, &logged),
            }
        }
        ended.farewell = self.owe_farewell(farewell, context.now);
        self.decide_anew();
        Some(Estate { ended, handled, base })
    }

    /// To sessions whose logs never held it; only if there is none does it stay pending.
    fn bequeath(&mut self, context: &Context<'_>, logged: &Logged, ended: &mut Ended) {
        let Some(id) = logged.stanza.deliverable() else { return };
        let (mut taken, last) = (false, self.last);
        for session in self.sessions.iter_mut().filter(|session| session.takes_bare()) {
            let comes = session.backlog.is_some_and(|backlog| backlog.after < id.number);
            if comes || session.holds(id) {
                taken |= session.holds(id);
                continue;
            }
            let heir = late(logged.stanza.clone());
            if session.is_flowing(true) && session.has_room(context.limits) && session.held.is_empty() {
                ended.handed.push(session.push(heir));
                taken = true;
            } else if session.backlog.is_none() && session.may_hold(context.limits) {
                ended.handed.extend(session.wants_hint().then(|| session.hint(&heir)));
                session.hold(heir);
                taken = true;
            } else {
                // One that has read past it reads again from here: what still waits, and what it does not hold.
                let before = session.backlog.map_or(last, |backlog| backlog.before.max(backlog.after));
                ended.handed.extend(session.wants_hint().then(|| session.hint(&heir)));
                session.backlog = Some(Backlog { after: id.number.saturating_sub(1), before });
            }
        }
        if !taken && !logged.stanza.has_row() {
            self.owe(&logged.stanza);
        }
    }
}
