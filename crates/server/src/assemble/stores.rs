//! Ready while the stores answer, and take what is new.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Routing;
use crate::admin::Health;

/// How often they are asked, and how long they may take.
const ASKED_EVERY: Duration = Duration::from_secs(2);
const WITHIN: Duration = Duration::from_secs(4);

/// Asks again and again until `stop`.
pub(super) async fn watch(routing: Routing, health: Arc<Health>, stop: CancellationToken) {
    let mut clock = tokio::time::interval(ASKED_EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        let asked = timeout(WITHIN, trouble(&routing)).await;
        health.lacks(asked.unwrap_or(Some("the store does not answer")));
    }
}

async fn trouble(routing: &Routing) -> Option<&'static str> {
    if let Some(store) = &routing.embedded
        && store.can_write().await.is_err()
    {
        return Some("the store cannot write");
    }
    let asked = routing.pipeline.context().list_accounts(None, 1).await;
    asked.is_err().then_some("the store does not answer")
}
