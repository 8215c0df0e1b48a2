//! What was refused of a batch that is not handled yet: done again, it is refused again (session-log rules 1 and 13).
//!
//! A batch is sent again when its outcome is not known, or when the sessions' store came back without what was committed. Its
//! sender may have been told by then that a stanza was refused, and what made it so may be over.

use std::collections::HashMap;

use parking_lot::Mutex;
use starling_jid::Jid;
use starling_ports::Result;
use starling_ports::ids::SessionId;
use starling_ports::ingress::SessionRef;
use starling_stanza::{Condition, Stanza, StanzaError};
use tokio::time::{Duration, Instant};

use super::Pipeline;

/// Longer than a batch is sent again.
const REMEMBERED: Duration = Duration::from_secs(300);
/// So many sessions are looked through for those whose batch nobody has sent again.
const MANY: usize = 1024;

/// By the sender's number.
pub(super) type Refusals = HashMap<u64, StanzaError>;

/// What became of a batch when it came before.
#[derive(Debug, Default)]
pub(super) struct Before {
    refused: Refusals,
    /// The numbers of what was answered, by whichever router.
    answered: Vec<u64>,
}

impl Before {
    /// With what it is to be refused again. The error that its sender has is found under its number in the log: another one is not
    /// told.
    pub(super) fn refuses(&self, number: u64, stanza: &Stanza) -> Option<StanzaError> {
        let known = self.refused.get(&number).cloned();
        known.or_else(|| {
            let is_told = !is_for_us(stanza) && self.answered.contains(&number);
            is_told.then(|| StanzaError::cancel(Condition::UndefinedCondition))
        })
    }
}

/// A request that the server itself answers: the answer to it need not be a refusal.
fn is_for_us(stanza: &Stanza) -> bool {
    let is_to_session = |to: &Jid| to.resource().is_some() && to.local().is_some();
    matches!(stanza, Stanza::Iq(_)) && !stanza.to().is_some_and(is_to_session)
}

impl Pipeline {
    /// What is known of a batch: here, and in the slot of its session where another router may have decided on it.
    pub(super) async fn before(&self, session: &SessionRef, again: bool) -> Result<Before> {
        let refused = self.refused.of(session.id);
        let sessions = &self.cx.stores.sessions;
        let answered = sessions.answered(&session.jid.bare(), session.id, again).await?;
        Ok(Before { refused, answered })
    }
}

/// By session.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<HashMap<SessionId, (Instant, Refusals)>>);

impl Refused {
    /// Those of the batch of `session` that is not handled yet.
    pub(super) fn of(&self, session: SessionId) -> Refusals {
        self.0.lock().get(&session).map(|(_, refusals)| refusals.clone()).unwrap_or_default()
    }

    /// Before its sender hears of it.
    pub(super) fn note(&self, session: SessionId, number: u64, error: &StanzaError) {
        let (mut sessions, now) = (self.0.lock(), Instant::now());
        if sessions.len() >= MANY {
            sessions.retain(|_, (at, _)| now.duration_since(*at) < REMEMBERED);
        }
        let (at, refusals) = sessions.entry(session).or_insert_with(|| (now, Refusals::new()));
        *at = now;
        refusals.insert(number, error.clone());
    }

    /// Its batch is handled.
    pub(super) fn forget(&self, session: SessionId) {
        self.0.lock().remove(&session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_stands_until_its_batch_is_handled() {
        let (refused, one) = (Refused::default(), SessionId(1));
        let busy = StanzaError::wait(Condition::ResourceConstraint);
        refused.note(one, 7, &busy);
        assert_eq!(refused.of(one), Refusals::from([(7, busy.clone())]));
        assert_eq!(refused.of(SessionId(2)), Refusals::new());
        refused.forget(one);
        assert_eq!(refused.of(one), Refusals::new());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_sends_again_is_forgotten() {
        let refused = Refused::default();
        let busy = StanzaError::wait(Condition::ResourceConstraint);
        (0..MANY as u128).for_each(|session| refused.note(SessionId(session), 1, &busy));
        tokio::time::advance(REMEMBERED).await;
        refused.note(SessionId(u128::MAX), 1, &busy);
        assert_eq!(refused.0.lock().len(), 1);
    }
}
