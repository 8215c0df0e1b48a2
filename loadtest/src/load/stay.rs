//! Pairs of contacts who write to each other and stay: whoever loses its connection resumes its session (XEP-0198) and goes on.

use super::chat;
use super::presence::contacts;
use super::{Entry, Outcome, Stage};
use crate::check::Sequence;
use crate::client::Client;
use crate::mark::Mark;
use crate::recorder::micros;
use crate::scan::{self, Event};
use crate::scenario::Stay;
use anyhow::{Result, bail, ensure};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

/// How often a client looks whether all is done.
const LOOK: Duration = Duration::from_millis(200);
/// How long one that could not come back waits before it tries again.
const AGAIN: Duration = Duration::from_millis(500);
/// A server that acknowledges nothing for so long is taken for gone.
const SILENCE: Duration = Duration::from_secs(30);
/// What a client has sent is not known yet.
const UNKNOWN: u64 = u64::MAX;

/// What all clients of the load know.
struct Company {
    stage: Arc<Stage>,
    stay: Stay,
    /// The sessions that are there when it begins: none of them may be told to be gone.
    sessions: BTreeSet<String>,
    /// How many each has written, once it knows.
    totals: Vec<AtomicU64>,
    began: Instant,
    stop: Instant,
}

/// One client.
struct Stayer {
    all: Arc<Company>,
    index: usize,
    sent: u64,
    /// Acknowledged in former streams.
    before: u64,
    /// Written and not acknowledged.
    waiting: VecDeque<(Mark, Instant)>,
    heard: Sequence,
    misplaced: Vec<Mark>,
    flaps: u64,
}

/// Runs the load.
pub(super) async fn run(stage: Arc<Stage>, stay: Stay) -> Result<Outcome> {
    let count = stage.accounts.len() & !1;
    let clients = stage.enter_all(0, count, Entry { sm: false, presence: true }).await?;
    contacts::make(&stage, clients, 1).await?;
    let clients = stage.enter_all(0, count, Entry { sm: true, presence: true }).await?;
    let sessions = clients.iter().map(|client| client.jid.clone()).collect();
    let (began, stop) = stage.clock.begin().await?;
    let totals = (0..count).map(|_| AtomicU64::new(UNKNOWN)).collect();
    let all = Arc::new(Company { stage: stage.clone(), stay, sessions, totals, began, stop });
    let mut tasks = JoinSet::new();
    for (index, client) in clients.into_iter().enumerate() {
        tasks.spawn(Stayer::new(&all, index).play(client));
    }
    let (mut stayers, mut kept) = (Vec::with_capacity(count), Vec::with_capacity(count));
    while let Some(done) = tasks.join_next().await {
        let (stayer, client) = done?;
        stayers.push(stayer);
        kept.extend(client);
    }
    stage.clock.end().await?;
    stayers.sort_by_key(|stayer| stayer.index);
    let outcome = judge(&stage, &stayers)?;
    for client in kept {
        stage.leave(client).await;
    }
    Ok(outcome)
}

fn judge(stage: &Stage, stayers: &[Stayer]) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for stayer in stayers {
        let (from, to) = (stage.jid(stayer.index)?, stage.jid(stayer.index ^ 1)?);
        let Some(other) = stayers.get(stayer.index ^ 1) else { bail!("a client without a pair") };
        let acked = stayer.sent - stayer.waiting.len() as u64;
        outcome.findings.judge(&format!("{from} to {to}"), &other.heard, stayer.sent, acked);
        for mark in &stayer.misplaced {
            outcome.findings.misplaced(&format!("flow {}", mark.flow), mark.number);
        }
    }
    let unacked = outcome.findings.sent - outcome.findings.acked;
    let flaps: u64 = stayers.iter().map(|stayer| stayer.flaps).sum();
    outcome.figures.extend([("unacked", unacked as f64), ("flaps", flaps as f64)]);
    Ok(outcome)
}

impl Company {
    /// When the message with that number of client `index` is due: they take turns.
    fn due(&self, index: usize, number: u64) -> Instant {
        let every = Duration::from_millis(self.stay.every_ms.get());
        let turn = every.mul_f64(index as f64 / self.totals.len().max(1) as f64);
        self.began + turn + every.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX))
    }

    fn flow(&self, index: usize) -> u32 {
        u32::try_from(self.stage.number(index)).unwrap_or(u32::MAX)
    }

    fn total(&self, index: usize) -> &AtomicU64 {
        static NONE: AtomicU64 = AtomicU64::new(0);
        self.totals.get(index).unwrap_or(&NONE)
    }
}

impl Stayer {
    fn new(all: &Arc<Company>, index: usize) -> Self {
        Self {
            all: all.clone(),
            index,
            sent: 0,
            before: 0,
            waiting: VecDeque::new(),
            heard: Sequence::default(),
            misplaced: Vec::new(),
            flaps: 0,
        }
    }

    /// Until all is written, acknowledged and received, or there was time enough for it.
    async fn play(mut self, mut client: Client) -> (Self, Option<Client>) {
        while !self.is_done() && Instant::now() < self.end() {
            if self.go_on(&mut client).await.is_ok() {
                continue;
            }
            self.all.stage.recorder.connected(-1);
            let Some(back) = self.come_back(client).await else { return (self, None) };
            client = back;
        }
        (self, Some(client))
    }

    fn end(&self) -> Instant {
        self.all.stop + self.all.stage.drain
    }

    fn is_done(&mut self) -> bool {
        let own = self.all.total(self.index);
        if own.load(Ordering::Acquire) == UNKNOWN {
            if self.all.stage.clock.goes_on() {
                return false;
            }
            own.store(self.sent, Ordering::Release);
        }
        let theirs = self.all.total(self.index ^ 1).load(Ordering::Acquire);
        self.waiting.is_empty() && self.heard.distinct() >= theirs
    }

    /// Reads until something is due, and writes that.
    async fn go_on(&mut self, client: &mut Client) -> Result<()> {
        let due = self.all.due(self.index, self.sent);
        if let Ok(filled) = timeout_at(due.min(Instant::now() + LOOK), client.fill()).await {
            filled?;
            self.hear(client).await?;
        }
        let clock = &self.all.stage.clock;
        if due <= Instant::now() && clock.goes_on() && clock.take(1) == 1 {
            let at = micros(due.saturating_duration_since(self.all.began));
            let (run, flow) = (self.all.stage.run, self.all.flow(self.index));
            self.waiting.push_back((Mark { run, flow, number: self.sent, at }, Instant::now()));
            self.sent += 1;
            client.sm.wrote_messages(1);
            self.write(client, self.waiting.len() - 1).await?;
        }
        let is_answered = self.waiting.front().is_none_or(|(_, at)| at.elapsed() < SILENCE);
        ensure!(is_answered, "nothing was acknowledged for {} s", SILENCE.as_secs());
        Ok(())
    }

    /// Writes those that wait, from one on, and asks whether they have come.
    async fn write(&self, client: &mut Client, from: usize) -> Result<()> {
        let (to, mut text) = (self.all.stage.jid(self.index ^ 1)?, String::new());
        for (mark, _) in self.waiting.iter().skip(from) {
            chat::message(&mut text, &to, mark, self.all.stay.bytes.size());
        }
        text.push_str("<r xmlns='urn:xmpp:sm:3'/>");
        client.send(text.as_bytes()).await
    }

    /// Takes in what came: messages, acknowledgements, and who is told to be gone.
    async fn hear(&mut self, client: &mut Client) -> Result<()> {
        let (all, other) = (self.all.clone(), self.all.flow(self.index ^ 1));
        let mut latencies = Vec::new();
        while let Some(event) = client.next() {
            let stanza = match event {
                Event::Stanza(stanza) => stanza,
                Event::Open => continue,
                Event::Close => bail!("the server closed the stream"),
            };
            let is = |name, value: &[u8]| scan::attribute(stanza, name) == Some(value);
            match scan::name(stanza) {
                b"presence" if is("type", b"unavailable") => {
                    let from = scan::attribute(stanza, "from").map(String::from_utf8_lossy);
                    self.flaps += u64::from(from.is_some_and(|from| all.sessions.contains(from.as_ref())));
                }
                b"message" if is("type", b"error") => {
                    all.stage.recorder.error(&format!("a message came back: {}", condition(stanza)));
                }
                b"message" => {
                    let mark = scan::text(stanza, "body").and_then(Mark::read);
                    match mark.filter(|mark| mark.run == all.stage.run) {
                        Some(mark) if mark.flow == other => {
                            self.heard.note(mark.number);
                            latencies.push(micros(all.began.elapsed()).saturating_sub(mark.at));
                        }
                        Some(mark) => self.misplaced.push(mark),
                        None => {}
                    }
                }
                _ => {}
            }
        }
        if !latencies.is_empty() {
            all.stage.recorder.took("delivery", latencies);
        }
        self.take_acks(client);
        client.reply().await
    }

    fn take_acks(&mut self, client: &Client) {
        let acked = self.before + client.sm.acked_messages();
        while let Some((_, at)) = self.waiting.front().copied().filter(|(mark, _)| mark.number < acked) {
            self.all.stage.recorder.took("ack", [micros(at.elapsed())]);
            self.waiting.pop_front();
        }
    }

    /// Tries until it is back, or it is too late.
    async fn come_back(&mut self, client: Client) -> Option<Client> {
        let (lost, jid) = (Instant::now(), client.jid.clone());
        let former = client.cut();
        let mut last = None;
        while Instant::now() < self.end() {
            let tried = async {
                let (stage, index) = (&self.all.stage, self.index);
                let mut client =
                    Client::enter(&stage.target, stage.number(index), stage.account(index)?).await?;
                let is_resumed = client.resume(former.clone(), &jid).await?;
                anyhow::Ok((client, is_resumed))
            };
            match tried.await {
                Ok((client, true)) => return self.greet(client, lost).await,
                Ok((client, false)) => {
                    self.all.stage.recorder.error("a stream could not be resumed");
                    return self.begin_anew(client).await;
                }
                Err(error) => last = Some(error),
            }
            sleep(AGAIN).await;
        }
        let why = last.map_or_else(String::new, |error| format!(": {error:#}"));
        self.all.stage.recorder.error(&format!("a client could not come back{why}"));
        None
    }

    /// Resumed: what the server has not acknowledged is written again (XEP-0198 §5).
    async fn greet(&mut self, mut client: Client, lost: Instant) -> Option<Client> {
        let recorder = &self.all.stage.recorder;
        recorder.connected(1);
        recorder.took("resume", [micros(lost.elapsed())]);
        self.take_acks(&client);
        let _ = self.write(&mut client, 0).await; // one that is lost again is noticed when it is read
        Some(client)
    }

    /// A new session, to which the rest of the messages is written.
    async fn begin_anew(&mut self, mut client: Client) -> Option<Client> {
        let begun = async {
            client.bind().await?;
            client.enable_sm().await?;
            self.before = self.sent - self.waiting.len() as u64;
            client.sm.wrote_others(1);
            client.send(b"<presence/>").await?;
            client.sm.wrote_messages(self.waiting.len() as u64);
            self.write(&mut client, 0).await?;
            anyhow::Ok(client)
        };
        let client = begun.await;
        let client = self.all.stage.count(client)?;
        self.all.stage.recorder.connected(1);
        Some(client)
    }
}

/// The condition of a stanza error (RFC 6120 §8.3.3).
fn condition(stanza: &[u8]) -> String {
    let text = String::from_utf8_lossy(stanza);
    let before = text.split("urn:ietf:params:xml:ns:xmpp-stanzas").next().unwrap_or_default();
    let tag = before.rsplit('<').next().unwrap_or_default();
    tag.split_whitespace().next().unwrap_or_default().to_owned()
}
