//! Pairs of clients: one writes numbered, timed messages, the other checks them.

use super::pace::{self, Due, Pace};
use super::{Entry, Outcome, Stage};
use crate::check::Sequence;
use crate::client::Client;
use crate::mark::Mark;
use crate::recorder::micros;
use crate::scan::{self, Event};
use crate::scenario::Chat;
use anyhow::{Context as _, Result};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How often a reader looks whether everything has come.
const LOOK: Duration = Duration::from_millis(200);
/// What a writer has sent is not known yet.
const UNKNOWN: u64 = u64::MAX;
/// A writer writes no more than this in one go.
const BATCH: usize = 1000;

/// One pair's half.
#[derive(Clone)]
pub(super) struct Half {
    pub(super) stage: Arc<Stage>,
    pub(super) flow: u32,
    pub(super) pace: Pace,
    /// How many the writer has written, once it knows.
    pub(super) total: Arc<AtomicU64>,
    pub(super) began: Instant,
    pub(super) stop: Instant,
    /// What an arrival is called.
    pub(super) operation: &'static str,
}

impl Half {
    /// Of the pair with that place in its load.
    pub(super) fn new(
        stage: &Arc<Stage>,
        pair: usize,
        pace: Pace,
        began: Instant,
        stop: Instant,
    ) -> Result<Self> {
        let (flow, total) = (u32::try_from(stage.first / 2 + pair)?, Arc::new(AtomicU64::new(UNKNOWN)));
        Ok(Self { stage: stage.clone(), flow, pace, total, began, stop, operation: "delivery" })
    }
}

/// How long a reader waits: from when the last message was written, which a number of operations may end early.
pub(super) struct Patience {
    deadline: Instant,
    is_written: bool,
}

impl Patience {
    /// Of a reader whose writer has just begun.
    pub(super) fn new(half: &Half) -> Self {
        Self { deadline: half.stop + half.stage.drain, is_written: false }
    }

    /// As it is known by now.
    pub(super) fn deadline(&mut self, half: &Half) -> Instant {
        if !self.is_written && half.total.load(Ordering::Acquire) != UNKNOWN {
            self.is_written = true;
            self.deadline = self.deadline.min(Instant::now() + half.stage.drain);
        }
        self.deadline
    }
}

/// What a half has seen, and its client if it still lives: the costs of leaving are not measured.
pub(super) enum Done {
    Wrote { flow: u32, sent: u64, acked: u64, client: Option<Client> },
    Read { flow: u32, sequence: Sequence, misplaced: Vec<Mark>, client: Option<Client> },
}

/// Runs the load.
pub(super) async fn run(stage: Arc<Stage>, chat: Chat) -> Result<Outcome> {
    let entry = Entry { sm: chat.sm, presence: true };
    let clients = stage.enter_all(0, stage.accounts.len() & !1, entry).await?;
    let pairs = clients.len() / 2;
    let paces: Vec<Pace> = (0..pairs).map(|pair| pace(&chat, pair, pairs)).collect();
    let (began, stop) = stage.clock.begin().await?;
    let pacer = start_pacer(&stage, &paces, began);
    let mut tasks = JoinSet::new();
    let mut clients = clients.into_iter();
    for (pair, pace) in paces.into_iter().enumerate() {
        let (Some(writer), Some(reader)) = (clients.next(), clients.next()) else { break };
        let half = Half::new(&stage, pair, pace, began, stop)?;
        tasks.spawn(write(half.clone(), writer, reader.jid.clone(), chat.clone()));
        tasks.spawn(read(half, reader));
    }
    let outcome = collect(&stage, tasks, chat.sm).await?;
    pacer.await?;
    Ok(outcome)
}

fn pace(chat: &Chat, pair: usize, pairs: usize) -> Pace {
    match chat.per_second {
        Some(rate) => Pace::Open(Arc::new(Due::new(pair as u64, pairs as u64, rate.get(), chat.burst.get()))),
        None => Pace::Closed(Arc::new(Semaphore::new(chat.in_flight.size()))),
    }
}

/// The thread that keeps the plan of an open loop; nothing for a closed one.
fn start_pacer(stage: &Arc<Stage>, paces: &[Pace], began: Instant) -> tokio::task::JoinHandle<()> {
    let open = |pace: &Pace| match pace {
        Pace::Open(due) => Some(due.clone()),
        Pace::Closed(_) => None,
    };
    let senders: Vec<Arc<Due>> = paces.iter().filter_map(open).collect();
    let stage = stage.clone();
    tokio::task::spawn_blocking(move || pace::keep(&senders, &stage, began))
}

/// Waits for all halves, judges each flow, then lets the clients leave.
pub(super) async fn collect(stage: &Arc<Stage>, mut tasks: JoinSet<Done>, sm: bool) -> Result<Outcome> {
    let (mut outcome, mut wrote, mut read, mut kept) =
        (Outcome::default(), Vec::new(), Vec::new(), Vec::new());
    while let Some(done) = tasks.join_next().await {
        match done? {
            Done::Wrote { flow, sent, acked, client } => {
                wrote.push((flow, sent, acked));
                kept.extend(client);
            }
            Done::Read { flow, sequence, misplaced, client } => {
                read.push((flow, sequence));
                misplaced
                    .iter()
                    .for_each(|mark| outcome.findings.misplaced(&format!("flow {}", mark.flow), mark.number));
                kept.extend(client);
            }
        }
    }
    stage.clock.end().await?;
    wrote.sort_by_key(|(flow, ..)| *flow);
    read.sort_by_key(|(flow, _)| *flow);
    for ((flow, sent, acked), (_, sequence)) in wrote.iter().zip(&read) {
        let pair = (*flow as usize * 2).saturating_sub(stage.first & !1);
        let name = format!("{} to {}", stage.jid(pair)?, stage.jid(pair + 1)?);
        outcome.findings.judge(&name, sequence, *sent, if sm { *acked } else { 0 });
    }
    if sm {
        let unacked = outcome.findings.sent - outcome.findings.acked;
        outcome.figures.push(("unacked", unacked as f64));
    }
    for client in kept {
        stage.leave(client).await;
    }
    Ok(outcome)
}

pub(super) async fn write(half: Half, mut client: Client, to: String, chat: Chat) -> Done {
    let mut sent = 0;
    let done = write_all(&half, &mut client, &to, &chat, &mut sent).await;
    half.total.store(sent, Ordering::Release);
    let done = match done {
        Ok(waiting) => await_acks(&half, &mut client, sent, waiting).await,
        Err(error) => Err(error),
    };
    let acked = client.sm.acked_messages();
    let is_alive = half.stage.count(done).is_some();
    Done::Wrote { flow: half.flow, sent, acked, client: is_alive.then_some(client) }
}

/// Messages written and not acknowledged: up to which number, how many, and when.
type Unacked = VecDeque<(u64, u64, Instant)>;

/// Writes as many as the pace lets, in one go, until the run ends.
async fn write_all(
    half: &Half,
    client: &mut Client,
    to: &str,
    chat: &Chat,
    sent: &mut u64,
) -> Result<Unacked> {
    let (mut batch, mut waiting) = (String::new(), Unacked::new());
    while half.stage.clock.goes_on() {
        let room = tokio::select! {
            room = half.pace.room(*sent, chat.in_flight.size().max(BATCH), half.stop) => match room {
                Some(room) => half.stage.clock.take(room),
                None => break,
            },
            filled = client.fill() => { filled?; 0 }
        };
        hear(half, client, &mut waiting).await?;
        if room == 0 {
            continue;
        }
        let mut late = Vec::new();
        for number in *sent..*sent + room {
            let at = half.pace.at(number, half.began);
            let mark = Mark { run: half.stage.run, flow: half.flow, number, at };
            message(&mut batch, to, &mark, chat.bytes.size());
            late.push(micros(half.began.elapsed()).saturating_sub(at));
        }
        *sent += room;
        if matches!(half.pace, Pace::Open(_)) {
            half.stage.recorder.took("lateness", late);
        }
        if chat.sm {
            batch.push_str("<r xmlns='urn:xmpp:sm:3'/>");
            waiting.push_back((*sent, room, Instant::now()));
        }
        client.sm.wrote_messages(room);
        client.send(batch.as_bytes()).await?;
        batch.clear();
    }
    Ok(waiting)
}

/// One message of the load.
pub(super) fn message(out: &mut String, to: &str, mark: &Mark, bytes: usize) {
    out.push_str(&format!("<message to='{to}' type='chat' id='{}'><body>", mark.number));
    mark.write(out, bytes);
    out.push_str("</body></message>");
}

/// Takes in what came for the writer: acks, questions, errors.
async fn hear(half: &Half, client: &mut Client, waiting: &mut Unacked) -> Result<()> {
    while let Some(event) = client.next() {
        match event {
            Event::Stanza(stanza) if scan::attribute(stanza, "type") == Some(b"error") => {
                half.stage.recorder.error("a message came back as an error");
            }
            Event::Close => anyhow::bail!("the server closed the stream"),
            Event::Stanza(_) | Event::Open => {}
        }
    }
    let acked = client.sm.acked_messages();
    while let Some((_, count, at)) = waiting.front().copied().filter(|(upto, ..)| *upto <= acked) {
        half.stage.recorder.took("ack", (0..count).map(|_| micros(at.elapsed())));
        waiting.pop_front();
    }
    client.reply().await
}

async fn await_acks(half: &Half, client: &mut Client, sent: u64, mut waiting: Unacked) -> Result<()> {
    let deadline = half.stop.min(Instant::now()) + half.stage.drain;
    while !waiting.is_empty() && client.sm.acked_messages() < sent {
        timeout_at(deadline, client.fill()).await.context("messages were not acknowledged")??;
        hear(half, client, &mut waiting).await?;
    }
    Ok(())
}

/// Reads until everything that was sent has come, or has had the time to.
async fn read(half: Half, mut client: Client) -> Done {
    let (mut sequence, mut misplaced) = (Sequence::default(), Vec::new());
    let (mut patience, mut is_alive) = (Patience::new(&half), true);
    while is_alive && sequence.distinct() < half.total.load(Ordering::Acquire) {
        let deadline = patience.deadline(&half);
        if deadline <= Instant::now() {
            break;
        }
        let Ok(filled) = timeout_at(deadline.min(Instant::now() + LOOK), client.fill()).await else {
            continue;
        };
        let done = match filled {
            Ok(()) => take(&half, &mut client, &mut sequence, &mut misplaced).await,
            Err(error) => Err(error),
        };
        is_alive = half.stage.count(done).is_some();
    }
    Done::Read { flow: half.flow, sequence, misplaced, client: is_alive.then_some(client) }
}

/// Takes in what came for the reader.
pub(super) async fn take(
    half: &Half,
    client: &mut Client,
    sequence: &mut Sequence,
    misplaced: &mut Vec<Mark>,
) -> Result<()> {
    let mut latencies = Vec::new();
    while let Some(event) = client.next() {
        let Event::Stanza(stanza) = event else { continue };
        let mark = scan::text(stanza, "body").and_then(Mark::read);
        let Some(mark) = mark.filter(|mark| mark.run == half.stage.run) else { continue };
        if mark.flow != half.flow {
            misplaced.push(mark);
            continue;
        }
        sequence.note(mark.number);
        latencies.push(micros(half.began.elapsed()).saturating_sub(mark.at));
    }
    half.pace.arrived(latencies.len());
    if !latencies.is_empty() {
        half.stage.recorder.took(half.operation, latencies);
    }
    client.reply().await
}
