//! Waits for what a process cannot do without, and what may come later than itself.

use std::fmt::Display;
use std::time::Duration;

use tracing::{info, warn};

use crate::admin::Health;

/// How long until it is tried again, at first and at last.
const SOON: Duration = Duration::from_millis(500);
const AT_LAST: Duration = Duration::from_secs(5);

/// Tries until it is there, or something is wrong with it that does not pass. Meanwhile `health` says what is lacking: whoever
/// started this process need not start it again.
pub(super) async fn wait_for<T, E: Display>(
    health: &Health,
    lacking: &'static str,
    passes: impl Fn(&E) -> bool,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut pause = SOON;
    loop {
        match attempt().await {
            Err(error) if passes(&error) => {
                health.lacks(Some(lacking));
                warn!(lacking, %error, again_in = ?pause, "waiting at the start");
            }
            done => {
                health.lacks(None);
                if pause > SOON {
                    info!(formerly = lacking, "the wait is over");
                }
                return done;
            }
        }
        tokio::time::sleep(pause).await;
        pause = AT_LAST.min(pause * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// What each attempt says, in turn, with the time of the last one.
    async fn waited(
        health: &Health,
        answers: &[Result<u8, &'static str>],
    ) -> (Result<u8, &'static str>, Duration) {
        let (began, mut left) = (Instant::now(), answers.iter());
        let done =
            wait_for(health, "a store is lacking", |error| *error == "away", async || *left.next().unwrap());
        (done.await, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_away_is_tried_again_until_it_is_there() {
        let health = Health::default();
        let answers = [[Err("away"); 6].as_slice(), &[Ok(7)]].concat();
        let (done, took) = waited(&health, &answers).await;
        assert_eq!(done, Ok(7));
        assert_eq!(took, Duration::from_millis(500 + 1000 + 2000 + 4000 + 5000 + 5000));
        assert_eq!(health.obstacle(), Some("not yet"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_ends_the_wait() {
        let (done, took) = waited(&Health::default(), &[Err("away"), Err("unfit")]).await;
        assert_eq!((done, took), (Err("unfit"), SOON));
    }

    #[tokio::test(start_paused = true)]
    async fn health_says_what_is_lacking_meanwhile() {
        let health = Health::default();
        let waiting = wait_for(&health, "a store is lacking", |_| true, async || Err::<(), _>("away"));
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        assert!(waited.is_err());
        assert_eq!(health.obstacle(), Some("a store is lacking"));
    }
}
