//! Registering again: a session whose store has come back with less than it had goes on, as its connection knows it
//! (session-log rule 9). Asked for by a renewal, or by a batch that was refused.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use starling_ports::delivery::{Command, Holder};
use starling_ports::ids::{Epoch, Handled};
use starling_ports::ingress::{Answered, Handling, SessionRef, Submitted};
use starling_ports::position::Position;
use starling_ports::sessions::{
    Claimed, Detach, Flags, Portrait, Registered, Registration, Renewed, Standing,
};
use starling_ports::{Result, StoreError};
use starling_stanza::Kind;
use starling_stream::{Input, Output};
use tracing::debug;

use super::{Driver, Held, Job, poll_job};

/// How long a router that did not answer is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is kept of a session beside its log, and what is under way about it.
#[derive(Default)]
pub(super) struct Again<'a> {
    /// The batch that was submitted and is not answered: it is sent again before anything new (rule 2).
    batch: Vec<Submitted>,
    /// The batch was refused: is the session over, or forgotten?
    is_refused: bool,
    /// Something that the session said of itself may have changed.
    portrait_due: bool,
    portrait: Portrait,
    /// How far what was read is handled, where the stream has ended before that was known.
    handled: Handled,
    /// What was acknowledged before the session was resumed here.
    done: Position,
    asking: Job<'a, Result<Portrait>>,
    standing: Job<'a, Result<Vec<Renewed>>>,
    registering: Job<'a, Result<Registered>>,
    /// The same for all tries of one registration.
    token: Option<u128>,
}

impl Again<'_> {
    /// These are submitted now.
    pub(super) fn note(&mut self, batch: &[Submitted]) {
        self.batch = batch.to_vec();
    }

    /// Takes the answer to the batch: whether it says that the session is not this connection's, which may not be the last word.
    pub(super) fn answered(&mut self, answer: &Result<Answered>) -> bool {
        let handling = answer.as_ref().ok().map(|answered| answered.handling);
        self.is_refused = !self.batch.is_empty() && handling == Some(Handling::Fenced);
        if self.is_refused {
            return true;
        }
        if self.batch.iter().any(|one| one.draft.kind() != Kind::Message) {
            match answer.as_ref().ok().and_then(|answered| answered.portrait.clone()) {
                // What was asked for before it may be answered behind it.
                Some(portrait) if self.asking.is_none() => self.portrait = portrait,
                _ => self.portrait_due = true,
            }
        }
        self.batch.clear();
        false
    }

    /// Keeps what a claim has told.
    pub(super) fn resumes(&mut self, input: &Input<'_>) {
        if let Input::Resumed(Some(Claimed::Resumed { done, portrait, .. })) = input {
            (self.done, self.portrait) = (done.clone(), portrait.clone());
        }
    }

    /// What was read is handled so far, behind the end of the stream.
    pub(super) fn done_behind(&mut self, handled: Handled, portrait: Option<Portrait>) {
        self.handled = self.handled.max(handled);
        if let Some(portrait) = portrait {
            self.portrait = portrait;
        }
    }

    pub(super) fn take_done(&mut self) -> Position {
        std::mem::take(&mut self.done)
    }

    /// Whether nothing else may be said of the session.
    pub(super) fn is_under_way(&self) -> bool {
        self.is_refused || self.standing.is_some() || self.registering.is_some()
    }
}

impl<'a> Driver<'a> {
    /// Begins what is due; says whether everything else has to wait.
    pub(super) fn begin_again(&mut self, held: &'a Held) -> bool {
        let (shared, now) = (self.shared, self.now());
        let Some(again) = self.again.as_deref_mut() else { return false };
        let is_forgotten = held.outbox.is_forgotten();
        let may_try = self.retry_at.is_none_or(|at| now >= at);
        if again.registering.is_none() && again.standing.is_none() && may_try {
            if is_forgotten {
                // What is being asked of the session would be asked of a former claim.
                if self.call.is_none() {
                    self.retry_at = None;
                    self.begin_registering(held);
                }
                return true;
            }
            if again.is_refused {
                self.retry_at = None;
                again.standing = Some(shared.ingress.renew(shared.hub.node(), vec![held.outbox.renewal()]));
            }
        }
        if is_forgotten || again.is_under_way() {
            return true;
        }
        if self.submit.is_none() && !again.batch.is_empty() && may_try {
            self.submit = Some(shared.ingress.submit_again(held.session(), again.batch.clone()));
        }
        let may_ask = again.asking.is_none() && self.call.is_none() && may_try;
        if may_ask && std::mem::take(&mut again.portrait_due) {
            self.retry_at = None;
            again.asking = Some(shared.ingress.portrait(held.session()));
        }
        self.submit.is_none() && !again.batch.is_empty()
    }

    /// Something that the session said of itself may have changed.
    pub(super) fn portrait_may_change(&mut self) {
        if let Some(again) = &mut self.again {
            again.portrait_due = true;
        }
    }

    fn begin_registering(&mut self, held: &'a Held) {
        (self.submit, self.pull) = (None, None);
        let Some(again) = &mut self.again else { return };
        (again.asking, again.is_refused) = (None, false);
        let (Some(log), Some(counts)) = (held.outbox.log(), self.machine.counts()) else { return };
        let token = *again.token.get_or_insert_with(random);
        let mut portrait = again.portrait.clone();
        let (sm, resumable) = (counts.base.is_some(), counts.resumable);
        portrait.flags = Flags { sm, resumable, ..portrait.flags };
        let SessionRef { id: session, jid, epoch } = held.session().clone();
        debug!(
            ?session,
            entries = log.entries.len(),
            "its store has forgotten a session: it is registered again"
        );
        let registration = Registration {
            session,
            jid,
            node: self.shared.hub.node(),
            epoch,
            life: log.life,
            token,
            portrait,
            resume: resumable.then_some(Duration::MAX), // for how long is for the router to say
            base: counts.base.unwrap_or_default(),
            handled: counts.handled.max(again.handled),
            acknowledged: log.acknowledged,
            entries: log.entries,
            done: log.done,
        };
        again.registering = Some(self.shared.ingress.register_again(registration));
    }

    /// Takes answers; says whether there was one.
    pub(super) fn poll_again(&mut self, cx: &mut Context<'_>, out: &mut Output) -> bool {
        let (Some(held), Some(again)) = (self.held(), self.again.as_deref_mut()) else { return false };
        let asked = poll_job(&mut again.asking, cx);
        let standing = poll_job(&mut again.standing, cx);
        let registered = poll_job(&mut again.registering, cx);
        let moved = asked.is_some() || standing.is_some() || registered.is_some();
        match asked {
            Some(Ok(portrait)) => again.portrait = portrait,
            Some(Err(error)) => {
                debug!(%error, "what a session said of itself is not known yet");
                again.portrait_due = true;
                self.retry_at = Some(self.now() + RETRY_AFTER);
            }
            None => {}
        }
        if let Some(answer) = standing {
            self.stands(held, answer);
        }
        if let Some(answer) = registered {
            self.registered(held, answer, out);
        }
        moved
    }

    fn stands(&mut self, held: &Held, answer: Result<Vec<Renewed>>) {
        let (hub, session) = (&self.shared.hub, held.session());
        let Some(again) = &mut self.again else { return };
        match answer.as_deref() {
            Ok([renewed]) if renewed.standing != Standing::Away => {
                hub.renewed(hub.node(), session.id, session.epoch, renewed);
                again.is_refused = renewed.standing == Standing::Over;
                if renewed.standing != Standing::Unknown {
                    self.retry_at = Some(self.now() + RETRY_AFTER);
                }
            }
            _ => self.retry_at = Some(self.now() + RETRY_AFTER),
        }
    }

    /// The session hears that its socket is gone; one that its store has forgotten is registered first, or there would be nothing to
    /// resume, and nobody would be told that it has ended. An error: not yet.
    pub(super) async fn let_go(&mut self, why: Detach) -> Result<()> {
        let Some(mut held) = self.held() else { return Ok(()) };
        let ingress = &self.shared.ingress;
        if !held.outbox.is_forgotten() {
            if ingress.detach(held.session(), why).await? || self.again.is_none() {
                return Ok(());
            }
            let renewed = ingress.renew(self.shared.hub.node(), vec![held.outbox.renewal()]).await?;
            match renewed.first() {
                Some(renewed) if renewed.standing == Standing::Unknown => held.outbox.renewed(renewed),
                Some(renewed) if renewed.standing == Standing::Over => return Ok(()), // or it is somebody else's
                _ => return Err(undecided()),
            }
        }
        self.begin_registering(held);
        let Some(registering) = self.again.as_mut().and_then(|again| again.registering.take()) else {
            return Ok(());
        };
        if let Registered::Again { epoch } = registering.await? {
            self.go_on(held, epoch);
            held = self.held().unwrap_or(held);
            self.shared.ingress.detach(held.session(), why).await?;
        }
        Ok(())
    }

    /// Under its next claim.
    fn go_on(&mut self, held: &Held, epoch: Epoch) {
        let outbox = Arc::new(held.outbox.again(epoch));
        self.shared.hub.register(outbox.clone());
        let _ = held.next.set(Box::new(Held::new(outbox)));
        self.again.iter_mut().for_each(|again| again.token = None);
        self.shared.metrics.registered.increment(1);
    }

    fn registered(&mut self, held: &Held, answer: Result<Registered>, out: &mut Output) {
        match answer {
            Ok(Registered::Again { epoch }) => self.go_on(held, epoch),
            Ok(Registered::Over) => self.handle(Input::Command(Command::Fenced), out),
            Err(error) => {
                debug!(%error, "a session is not registered again yet");
                self.retry_at = Some(self.now() + RETRY_AFTER);
            }
        }
    }
}

fn undecided() -> StoreError {
    StoreError::Unavailable { store: "sessions", source: "whether it is there is not known".into() }
}

/// 128 bits that nobody else has.
fn random() -> u128 {
    let half = || getrandom::u64().unwrap_or_default();
    u128::from(half()) << 64 | u128::from(half())
}
