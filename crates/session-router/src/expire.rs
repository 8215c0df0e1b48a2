//! What nobody else does in time: ends sessions that were not resumed, stores rows whose writer could not.

use std::future::Future;
use std::time::Duration;

use starling_ports::sessions::Departed;
use tokio_util::sync::CancellationToken;

use crate::Router;

const TICK: Duration = Duration::from_secs(1);
const AT_ONCE: usize = 256;

/// Looks every second, and hands over what has ended and what nobody has told in time, until `stop`.
pub async fn sweep<F>(router: Router, stop: CancellationToken, tell: impl Fn(Departed) -> F + Send)
where
    F: Future<Output = ()> + Send,
{
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        store_overdue(&router).await;
        loop {
            match router.sessions.expire(router.clock().now(), AT_ONCE).await {
                Ok(departed) if departed.is_empty() => break,
                Ok(departed) => tell(departed).await,
                Err(error) => {
                    tracing::warn!(%error, "sessions could not be expired, trying again");
                    break;
                }
            }
        }
    }
}

/// Rule 13: what was committed has an owner at all times.
async fn store_overdue(router: &Router) {
    match router.sessions.overdue(router.clock().now(), AT_ONCE).await {
        Ok(stored) => {
            for (account, handed) in stored {
                router.push(&account, handed);
            }
        }
        Err(error) => tracing::debug!(%error, "committed rows are not stored yet, trying again"),
    }
}
