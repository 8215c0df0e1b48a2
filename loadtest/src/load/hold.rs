//! Clients that log in and say nothing: what one costs, and whether all are held.

use super::attempts::Attempts;
use super::{Entry, Outcome, Stage};
use crate::client::Client;
use crate::clock::Costs;
use crate::recorder::micros;
use crate::scenario::Hold;
use anyhow::{Context as _, Result};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// What the logins left behind is settled after this.
const SETTLE: Duration = Duration::from_secs(2);

/// What all clients of the load know.
struct Company {
    stage: Arc<Stage>,
    attempts: Attempts,
    /// Whose turn it is to ask the server whether it still knows them: nobody's until they have been held.
    turns: Semaphore,
    closed: AtomicU64,
    held: AtomicU64,
}

/// Runs the load.
pub(super) async fn run(stage: Arc<Stage>, hold: Hold) -> Result<Outcome> {
    let before = stage.clock.costs_now().await?;
    let count = stage.accounts.len() * hold.per_account.size();
    let all = Arc::new(Company::new(&stage, &hold));
    let entry = Entry { sm: hold.sm, presence: false };
    let mut clients = JoinSet::new();
    let enter = |stage: Arc<Stage>, index| {
        let all = all.clone();
        async move {
            let asked = Instant::now();
            let client = all.attempts.enter(&stage, index, entry).await?;
            stage.recorder.took("hold-login", [micros(asked.elapsed())]);
            Ok(client)
        }
    };
    let taken = |client| {
        clients.spawn(all.clone().play(client));
    };
    stage.enter_each(0, count, enter, taken).await?;
    sleep(SETTLE).await;
    let (began, _) = stage.clock.begin().await?;
    let settled = stage.clock.costs_now().await?;
    stage.clock.ended().await;
    let after = stage.clock.costs_now().await?;
    stage.clock.end().await?;
    all.turns.add_permits(stage.concurrency);
    for client in clients.join_all().await.into_iter().flatten() {
        stage.leave(client).await;
    }
    let mut figures = figures(&before, &settled, &after, count, began);
    figures.extend(all.figures());
    Ok(Outcome { figures, ..Outcome::default() })
}

impl Company {
    fn new(stage: &Arc<Stage>, hold: &Hold) -> Self {
        Self {
            stage: stage.clone(),
            attempts: Attempts::new(hold.attempts.get()),
            turns: Semaphore::new(0),
            closed: AtomicU64::new(0),
            held: AtomicU64::new(0),
        }
    }

    /// From the moment in which a client is in. Nothing comes back of one that the server has lost.
    async fn play(self: Arc<Self>, mut client: Client) -> Option<Client> {
        let turn = self.idle(&mut client).await.context("closed while it was idle");
        let Some(_turn) = self.stage.count(turn) else {
            self.closed.fetch_add(1, Ordering::Relaxed);
            self.stage.recorder.connected(-1);
            return None;
        };
        let answered = Box::pin(self.ask(&mut client)).await.context("not answered after it was held");
        if self.stage.count(answered).is_none() {
            self.stage.recorder.connected(-1);
            return None;
        }
        self.held.fetch_add(1, Ordering::Relaxed);
        Some(client)
    }

    /// Reads and answers as any client does, until it is this one's turn to ask.
    async fn idle(&self, client: &mut Client) -> Result<SemaphorePermit<'_>> {
        let mut turn = pin!(self.turns.acquire());
        loop {
            client.attend().await?;
            tokio::select! {
                turn = &mut turn => return Ok(turn?),
                filled = client.fill() => filled?,
            }
        }
    }

    /// XEP-0199: whether the server still knows the client.
    async fn ask(&self, client: &mut Client) -> Result<()> {
        let (asked, domain) = (Instant::now(), &self.stage.target.domain);
        let ping = format!("<iq type='get' id='held' to='{domain}'><ping xmlns='urn:xmpp:ping'/></iq>");
        client.send(ping.as_bytes()).await?;
        client.answer("held").await?;
        self.stage.recorder.took("ping", [micros(asked.elapsed())]);
        client.reply().await
    }

    fn figures(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        [("held", of(&self.held)), ("closed", of(&self.closed))].into_iter().chain(self.attempts.figures())
    }
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
