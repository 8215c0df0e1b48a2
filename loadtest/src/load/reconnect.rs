//! All clients lose their connections at once and come back at once, over and over.

use super::{Entry, Outcome, Stage};
use crate::recorder::micros;
use crate::scenario::Reconnect;
use anyhow::Result;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Runs the load.
pub(super) async fn run(stage: Arc<Stage>, reconnect: Reconnect) -> Result<Outcome> {
    let entry = Entry { sm: reconnect.sm, presence: true };
    let count = stage.accounts.len();
    let mut clients = stage.enter_all(0, count, entry).await?;
    let at_once = Arc::new(Semaphore::new(reconnect.at_once.size()));
    stage.clock.begin().await?;
    while stage.clock.goes_on() {
        stage.recorder.connected(-i64::try_from(clients.len())?);
        drop(clients); // without a word, as when a network is lost
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for index in 0..count {
            tasks.spawn(one(stage.clone(), at_once.clone(), index, entry, began));
        }
        clients = Vec::with_capacity(count);
        while let Some(done) = tasks.join_next().await {
            clients.extend(done?);
        }
        if clients.len() == count {
            stage.recorder.took("all-back", [micros(began.elapsed())]);
        }
        stage.clock.take(count as u64);
        sleep(Duration::from_millis(reconnect.pause_ms.get())).await;
    }
    stage.clock.end().await?;
    for client in clients {
        stage.leave(client).await;
    }
    Ok(Outcome::default())
}

/// One client's way back, counted from the moment of the loss.
async fn one(
    stage: Arc<Stage>,
    at_once: Arc<Semaphore>,
    index: usize,
    entry: Entry,
    began: Instant,
) -> Option<crate::client::Client> {
    let _permit = at_once.acquire().await.ok()?;
    let entered = stage.enter(index, entry).await;
    let client = stage.count(entered)?;
    stage.recorder.took("back", [micros(began.elapsed())]);
    Some(client)
}
