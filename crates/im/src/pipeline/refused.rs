//! What was refused of a batch that is not handled yet: done again, it is refused again (session-log rules 1 and 13).
//!
//! A batch is sent again when its outcome is not known, or when the sessions' store came back without what was committed. Its
//! sender may have been told by then that a stanza was refused, and what made it so may be over.

use std::collections::HashMap;

use parking_lot::Mutex;
use starling_ports::ids::SessionId;
use starling_stanza::StanzaError;
use tokio::time::{Duration, Instant};

/// Longer than a batch is sent again.
const REMEMBERED: Duration = Duration::from_secs(300);
/// So many sessions are looked through for those whose batch nobody has sent again.
const MANY: usize = 1024;

/// By the sender's number.
pub(super) type Refusals = HashMap<u64, StanzaError>;

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
    use starling_stanza::Condition;

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
