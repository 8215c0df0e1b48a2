//! Logging in and leaving: so many at a time, or so many in a second.

use super::pace::{self, Due, Pace};
use super::{Entry, Outcome, Stage};
use crate::recorder::micros;
use crate::scenario::Login;
use anyhow::Result;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// So many logins may be under way at once in an open loop.
const UNDER_WAY: usize = 5_000;

/// Runs the load.
pub(super) async fn run(stage: Arc<Stage>, login: Login) -> Result<Outcome> {
    let (began, stop) = stage.clock.begin().await?;
    let entry = Entry { sm: false, presence: login.presence };
    let mut tasks = JoinSet::new();
    let due = login.per_second.map(|rate| Arc::new(Due::new(0, 1, rate.get(), 1)));
    let keeper = {
        let (stage, due) = (stage.clone(), due.clone());
        tokio::task::spawn_blocking(move || {
            if let Some(due) = due {
                pace::keep(&[due], &stage, began);
            }
        })
    };
    let pace = due.map(Pace::Open);
    let most = if pace.is_some() { UNDER_WAY } else { stage.concurrency };
    for index in 0.. {
        if let Some(pace) = &pace
            && pace.room(index as u64, 1, stop).await.is_none()
        {
            break;
        }
        if tasks.len() >= most
            && let Some(done) = tasks.join_next().await
        {
            done?;
        }
        if !stage.clock.goes_on() || stage.clock.take(1) == 0 {
            break;
        }
        let at = pace.as_ref().map(|pace| pace.at(index as u64, began));
        tasks.spawn(one(stage.clone(), index, entry, began, at));
    }
    while let Some(done) = tasks.join_next().await {
        done?;
    }
    stage.clock.end().await?;
    keeper.await?;
    Ok(Outcome::default())
}

/// One login, counted from when it was due.
async fn one(stage: Arc<Stage>, index: usize, entry: Entry, began: Instant, at: Option<u64>) {
    let at = at.unwrap_or_else(|| micros(began.elapsed()));
    let entered = stage.enter(index, entry).await;
    if let Some(client) = stage.count(entered) {
        stage.recorder.took("login", [micros(began.elapsed()).saturating_sub(at)]);
        stage.leave(client).await;
    }
}
