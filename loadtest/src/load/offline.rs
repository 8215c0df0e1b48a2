//! Messages to accounts that are not there, then collected by them: all senders, then all receivers, over and over.

use super::{Entry, Outcome, Stage};
use crate::check::Sequence;
use crate::client::Client;
use crate::mark::Mark;
use crate::recorder::micros;
use crate::scan::{self, Event};
use crate::scenario::Offline;
use anyhow::{Context as _, Result, ensure};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// Messages that one sender writes before it waits for their confirmation.
const BURST: u64 = 16;
/// How long a confirmation may take.
const STEP: Duration = Duration::from_secs(30);

/// One sender's flow to one receiver.
struct Flow {
    number: u32,
    sender: Client,
    to: String,
    /// Which of the accounts the receiver is.
    receiver: usize,
    reader: Option<Client>,
    sent: u64,
    sequence: Sequence,
}

/// What the phases took, summed over rounds.
#[derive(Default)]
struct Phases {
    store_cpu: f64,
    collect_cpu: f64,
    store: Duration,
    collect: Duration,
}

/// Runs the load.
pub(super) async fn run(stage: Arc<Stage>, offline: Offline) -> Result<Outcome> {
    let pairs = stage.accounts.len() / 2;
    let senders = stage.enter_all(0, pairs, Entry { sm: offline.sm, presence: false }).await?;
    let mut flows = Vec::with_capacity(pairs);
    for (index, sender) in senders.into_iter().enumerate() {
        let (number, receiver) = (u32::try_from(stage.first / 2 + index)?, pairs + index);
        let to = stage.jid(receiver)?;
        flows.push(Flow {
            number,
            sender,
            to,
            receiver,
            reader: None,
            sent: 0,
            sequence: Sequence::default(),
        });
    }
    let (began, _) = stage.clock.begin().await?;
    let mut phases = Phases::default();
    while stage.clock.goes_on() {
        let (before, at) = (stage.clock.costs_now().await?, Instant::now());
        flows = each(flows, |flow| leave_messages(stage.clone(), flow, offline.clone(), began)).await?;
        phases.store += at.elapsed();
        phases.store_cpu += stage.clock.costs_now().await?.server.cpu_us_since(&before.server);
        let entry = Entry { sm: offline.sm, presence: false };
        let readers = stage.enter_all(pairs, pairs * 2, entry).await?;
        let (before, at) = (stage.clock.costs_now().await?, Instant::now());
        let mut readers = readers.into_iter();
        flows = each(flows, |flow| collect(stage.clone(), flow, readers.next())).await?;
        phases.collect += at.elapsed();
        phases.collect_cpu += stage.clock.costs_now().await?.server.cpu_us_since(&before.server);
        flows = each(flows, |flow| depart(stage.clone(), flow)).await?;
    }
    stage.clock.end().await?;
    judge(&stage, flows, &phases, offline.sm).await
}

/// Does the same with all flows at once.
async fn each<F>(flows: Vec<Flow>, mut step: impl FnMut(Flow) -> F) -> Result<Vec<Flow>>
where
    F: Future<Output = Result<Flow>> + Send + 'static,
{
    let (mut tasks, mut done) = (JoinSet::new(), Vec::with_capacity(flows.len()));
    for flow in flows {
        tasks.spawn(step(flow));
    }
    while let Some(flow) = tasks.join_next().await {
        done.push(flow??);
    }
    done.sort_by_key(|flow| flow.number);
    Ok(done)
}

async fn judge(stage: &Stage, flows: Vec<Flow>, phases: &Phases, sm: bool) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for flow in flows {
        let acked = if sm { flow.sender.sm.acked_messages() } else { 0 };
        let name = format!("{} to {}", flow.sender.jid, flow.to);
        outcome.findings.judge(&name, &flow.sequence, flow.sent, acked);
        stage.leave(flow.sender).await;
    }
    let count = outcome.findings.sent.max(1) as f64;
    outcome.figures = vec![
        ("server-cpu-us-per-stored", phases.store_cpu / count),
        ("server-cpu-us-per-collected", phases.collect_cpu / count),
        ("stored-per-second", count / phases.store.as_secs_f64().max(0.001)),
        ("collected-per-second", count / phases.collect.as_secs_f64().max(0.001)),
    ];
    Ok(outcome)
}

/// The receiver leaves, for certain: what is sent in the next round is for somebody who is not there.
async fn depart(stage: Arc<Stage>, mut flow: Flow) -> Result<Flow> {
    if let Some(reader) = flow.reader.take() {
        stage.recorder.connected(-1);
        reader.depart().await;
    }
    Ok(flow)
}

/// Writes the messages of a round; each burst is confirmed, by XEP-0198 or by an answer to what was asked after it.
async fn leave_messages(stage: Arc<Stage>, mut flow: Flow, offline: Offline, began: Instant) -> Result<Flow> {
    let end = flow.sent + stage.clock.take(offline.messages.get());
    while flow.sent < end {
        let (upto, at) = (end.min(flow.sent + BURST), Instant::now());
        let mut batch = String::new();
        for number in flow.sent..upto {
            batch.push_str(&format!("<message to='{}' type='chat' id='{number}'><body>", flow.to));
            let mark = Mark { run: stage.run, flow: flow.number, number, at: micros(began.elapsed()) };
            mark.write(&mut batch, offline.bytes.size());
            batch.push_str("</body></message>");
        }
        let count = upto - flow.sent;
        flow.sender.sm.wrote_messages(count);
        flow.sent = upto;
        confirm(&stage, &mut flow, batch, offline.sm).await?;
        stage.recorder.took("store", (0..count).map(|_| micros(at.elapsed())));
    }
    Ok(flow)
}

async fn confirm(stage: &Stage, flow: &mut Flow, mut batch: String, sm: bool) -> Result<()> {
    let id = format!("after{}", flow.sent);
    if sm {
        batch.push_str("<r xmlns='urn:xmpp:sm:3'/>");
    } else {
        let domain = &stage.target.domain;
        batch.push_str(&format!("<iq type='get' id='{id}' to='{domain}'><ping xmlns='urn:xmpp:ping'/></iq>"));
    }
    flow.sender.send(batch.as_bytes()).await?;
    if !sm {
        return flow.sender.answer(&id).await.map(drop);
    }
    while flow.sender.sm.acked_messages() < flow.sent {
        timeout(STEP, flow.sender.fill()).await.context("no ack for a message to somebody offline")??;
        while let Some(event) = flow.sender.next() {
            let Event::Stanza(stanza) = event else { continue };
            ensure!(scan::name(stanza) != b"message", "refused: {}", crate::sasl::told(stanza));
        }
        flow.sender.reply().await?;
    }
    Ok(())
}

/// The receiver comes and reads what waits for it, confirms it and leaves.
async fn collect(stage: Arc<Stage>, mut flow: Flow, reader: Option<Client>) -> Result<Flow> {
    let mut reader = reader.with_context(|| format!("nobody reads as account {}", flow.receiver))?;
    let (asked, deadline) = (Instant::now(), Instant::now() + stage.drain);
    reader.sm.wrote_others(1);
    reader.send(b"<presence/>").await?;
    while flow.sequence.distinct() < flow.sent {
        let Ok(filled) = timeout_at(deadline, reader.fill()).await else { break }; // what is missing is lost
        filled?;
        let mut latencies = Vec::new();
        while let Some(event) = reader.next() {
            let Event::Stanza(stanza) = event else { continue };
            let mark = scan::text(stanza, "body").and_then(Mark::read);
            if let Some(mark) = mark.filter(|mark| mark.run == stage.run && mark.flow == flow.number) {
                flow.sequence.note(mark.number);
                latencies.push(micros(asked.elapsed()));
            }
        }
        stage.recorder.took("collect", latencies);
        reader.reply().await?;
    }
    reader.send(reader.sm.ack().as_bytes()).await?;
    flow.reader = Some(reader);
    Ok(flow)
}
