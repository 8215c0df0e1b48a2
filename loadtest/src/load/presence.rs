//! Users with rosters come online at once, then all change their presence at once, over and over.

pub(super) mod contacts;

use super::{Entry, Outcome, Stage};
use crate::check::Sequence;
use crate::client::Client;
use crate::mark::Mark;
use crate::recorder::micros;
use crate::scan::{self, Event};
use crate::scenario::Presence;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How long one round may take.
const ROUND: Duration = Duration::from_secs(20);

/// What the users share: rounds begin together, and end together.
struct Rounds {
    gate: Barrier,
    goes_on: AtomicBool,
    is_broken: AtomicBool,
}

/// One user, and what came from each contact.
struct User {
    index: usize,
    client: Option<Client>,
    heard: BTreeMap<u32, Sequence>,
    rounds: u64,
}

/// Runs the load.
pub(super) async fn run(stage: Arc<Stage>, presence: Presence) -> Result<Outcome> {
    let count = stage.accounts.len();
    let half = (presence.contacts.size() / 2).clamp(1, (count - 1) / 2 + usize::from(count == 2));
    let clients = stage.enter_all(0, count, Entry { sm: false, presence: true }).await?;
    contacts::make(&stage, clients, half).await?;

    let (before, asked) = (stage.clock.costs_now().await?, Instant::now());
    let clients = stage.enter_all(0, count, Entry { sm: false, presence: true }).await?;
    let coming = count as f64 / asked.elapsed().as_secs_f64().max(0.001);
    let online = stage.clock.costs_now().await?.server.cpu_us_since(&before.server) / count.max(1) as f64;
    let (began, _) = stage.clock.begin().await?;
    let rounds = Arc::new(Rounds {
        gate: Barrier::new(count),
        goes_on: AtomicBool::new(true),
        is_broken: AtomicBool::new(false),
    });
    let mut tasks = JoinSet::new();
    for (index, client) in clients.into_iter().enumerate() {
        let heard = contacts::of(index, count, half)
            .into_iter()
            .map(|other| (flow(&stage, other), Sequence::default()));
        let user = User { index, client: Some(client), heard: heard.collect(), rounds: 0 };
        tasks.spawn(play(stage.clone(), rounds.clone(), user, began));
    }
    let mut users = Vec::with_capacity(count);
    while let Some(done) = tasks.join_next().await {
        users.push(done?);
    }
    stage.clock.end().await?;
    let mut outcome = judge(&stage, &users)?;
    outcome.figures.push(("server-cpu-us-per-coming-online", online));
    outcome.figures.push(("coming-online-per-second", coming));
    for client in users.into_iter().filter_map(|user| user.client) {
        stage.leave(client).await;
    }
    Ok(outcome)
}

fn flow(stage: &Stage, index: usize) -> u32 {
    u32::try_from(stage.number(index)).unwrap_or(u32::MAX)
}

/// Every contact must have heard every round of every user.
fn judge(stage: &Stage, users: &[User]) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let rounds: BTreeMap<u32, (u64, String)> = users
        .iter()
        .map(|user| Ok((flow(stage, user.index), (user.rounds, stage.jid(user.index)?))))
        .collect::<Result<_>>()?;
    for user in users {
        for (flow, sequence) in &user.heard {
            let (sent, from) = rounds.get(flow).context("a user without rounds")?;
            outcome.findings.judge(
                &format!("presence of {from} to {}", stage.jid(user.index)?),
                sequence,
                *sent,
                0,
            );
        }
    }
    Ok(outcome)
}

async fn play(stage: Arc<Stage>, rounds: Arc<Rounds>, mut user: User, began: Instant) -> User {
    loop {
        if rounds.gate.wait().await.is_leader() {
            let goes_on = stage.clock.goes_on() && !rounds.is_broken.load(Ordering::Acquire);
            rounds.goes_on.store(goes_on, Ordering::Release);
        }
        rounds.gate.wait().await;
        if !rounds.goes_on.load(Ordering::Acquire) {
            return user;
        }
        let played = round(&stage, &mut user, began).await;
        if stage.count(played).is_none() {
            rounds.is_broken.store(true, Ordering::Release); // a further round would only wait for this one
        }
    }
}

/// Changes the presence and waits until that of all contacts has come.
async fn round(stage: &Stage, user: &mut User, began: Instant) -> Result<()> {
    let Some(client) = &mut user.client else { bail!("the client is gone") };
    let mark = Mark {
        run: stage.run,
        flow: flow(stage, user.index),
        number: user.rounds,
        at: micros(began.elapsed()),
    };
    let mut text = "<presence><status>".to_owned();
    mark.write(&mut text, 0);
    text.push_str("</status></presence>");
    stage.clock.take(user.heard.len() as u64);
    client.sm.wrote_others(1);
    client.send(text.as_bytes()).await?;
    user.rounds += 1;
    let deadline = Instant::now() + ROUND;
    while user.heard.values().any(|sequence| sequence.distinct() < user.rounds) {
        timeout_at(deadline, client.fill()).await.context("presence of a contact did not come")??;
        let mut latencies = Vec::new();
        while let Some(event) = client.next() {
            let Event::Stanza(stanza) = event else { continue };
            let mark = scan::text(stanza, "status").and_then(Mark::read);
            let Some(mark) = mark.filter(|mark| mark.run == stage.run) else { continue };
            if let Some(sequence) = user.heard.get_mut(&mark.flow) {
                sequence.note(mark.number);
                latencies.push(micros(began.elapsed()).saturating_sub(mark.at));
            }
        }
        if !latencies.is_empty() {
            stage.recorder.took("presence", latencies);
        }
        client.reply().await?;
    }
    Ok(())
}
