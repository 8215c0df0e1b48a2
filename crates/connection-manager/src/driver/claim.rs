//! Resuming: the client of a session that its store has forgotten waits until whoever holds it has registered it again.

use std::time::Duration;

use starling_ports::ingress::Resume;
use starling_ports::sessions::Claimed;
use tokio::time::{Instant, sleep};

use crate::admission::{Permit, Wish};
use crate::shared::Shared;

/// How long a session may be in doubt: nodes renew every 5 s, and hear by that what is to be registered again (session-log rule 9).
const DOUBT: Duration = Duration::from_secs(10);
/// Between two questions.
const ASKED_EVERY: Duration = Duration::from_millis(250);

impl Shared {
    /// The answer to `<resume/>`; `None` where there is none, and the client is to try again.
    pub(super) async fn claim(&self, resume: Resume, mut permit: Permit) -> Option<Claimed> {
        let until = Instant::now() + DOUBT;
        loop {
            let claimed = self.ingress.resume(resume.clone(), self.hub.node()).await.ok()?;
            if !matches!(claimed, Claimed::Doubtful) {
                return Some(claimed);
            }
            if Instant::now() >= until {
                return Some(Claimed::Failed { handled: None }); // better none than a false one
            }
            drop(permit); // whoever waits holds back nobody
            sleep(ASKED_EVERY).await;
            permit = match self.admission.enter(Wish::Resume, self.limits.logins_at_once) {
                Ok(permit) => permit,
                Err(turn) => turn.await.ok()?,
            };
        }
    }
}
