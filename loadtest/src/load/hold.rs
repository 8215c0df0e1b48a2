//! Clients that log in and say nothing: what one costs, and whether all are held.

use super::{Entry, Outcome, Stage};
use crate::clock::Costs;
use crate::recorder::micros;
use crate::scenario::Hold;
use anyhow::Result;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// What the logins left behind is settled after this.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs the load.
pub(super) async fn run(stage: Arc<Stage>, hold: Hold) -> Result<Outcome> {
    let before = stage.clock.costs_now().await?;
    let count = stage.accounts.len() * hold.per_account.size();
    let clients = stage.enter_all(0, count, Entry { sm: hold.sm, presence: false }).await?;
    sleep(SETTLE).await;
    let (began, _) = stage.clock.begin().await?;
    let settled = stage.clock.costs_now().await?;
    stage.clock.ended().await;
    let after = stage.clock.costs_now().await?;
    stage.clock.end().await?;
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let stage = stage.clone();
        tasks.spawn(async move {
            let asked = Instant::now();
            let domain = &stage.target.domain;
            let ping = format!("<iq type='get' id='held' to='{domain}'><ping xmlns='urn:xmpp:ping'/></iq>");
            let answered = async {
                client.send(ping.as_bytes()).await?;
                client.answer("held").await
            };
            let answered = answered.await;
            if stage.count(answered).is_some() {
                stage.recorder.took("ping", [micros(asked.elapsed())]);
            }
            stage.leave(client).await;
        });
    }
    while let Some(done) = tasks.join_next().await {
        done?;
    }
    Ok(Outcome { figures: figures(&before, &settled, &after, count, began), ..Outcome::default() })
}

fn figures(
    before: &Costs,
    settled: &Costs,
    after: &Costs,
    count: usize,
    began: Instant,
) -> Vec<(&'static str, f64)> {
    let seconds = after.at.duration_since(began).as_secs_f64().max(0.001);
    vec![
        ("bytes-per-connection", after.server.rss_since(&before.server) as f64 / count.max(1) as f64),
        ("server-cpu-us-per-second-idle", after.server.cpu_us_since(&settled.server) / seconds),
    ]
}
