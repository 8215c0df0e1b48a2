//! Pairs of clients: one writes numbered, timed messages with a bounded number in flight, the other checks them.

use crate::client::Client;
use crate::options::{Chat, Options};
use crate::process;
use crate::scan::{self, Event};
use crate::sessions::{Report, log_in, micros};
use crate::stats::{Sequence, Tally};
use anyhow::{Context as _, Result};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How long what is on its way may take after the last message was sent.
const DRAIN: Duration = Duration::from_secs(20);
/// How often a reader looks whether everything has come.
const LOOK: Duration = Duration::from_millis(200);
/// What a writer has sent is not known yet.
const UNKNOWN: u64 = u64::MAX;

struct Sent {
    messages: u64,
    acked: u64,
}

enum Done {
    Sent(Sent),
    Received(Sequence, Vec<u64>),
}

/// Runs the load and reports.
pub(crate) async fn run(options: Arc<Options>, chat: Chat) -> Result<Report> {
    let mut clients = log_in(&options, chat.pairs * 2).await?;
    for client in &mut clients {
        if chat.sm {
            client.enable_sm().await?;
        }
        client.send(b"<presence/>").await?;
    }
    tokio::time::sleep(Duration::from_millis(500)).await; // presence is told before messages are routed by it
    let before = process::read(&options.server_pid)?;
    let each_before = options.server_pid.iter().map(|pid| process::cpu(*pid)).collect::<Result<Vec<_>>>()?;
    let (began, stop) = (Instant::now(), Instant::now() + Duration::from_secs(chat.seconds));
    let mut tasks: JoinSet<Result<Done>> = JoinSet::new();
    let mut clients = clients.into_iter();
    while let (Some(writer), Some(reader)) = (clients.next(), clients.next()) {
        let window = Arc::new(Semaphore::new(chat.in_flight));
        let (peer, chat) = (reader.jid.clone(), chat.clone());
        let total = Arc::new(AtomicU64::new(UNKNOWN));
        tasks.spawn(read(reader, window.clone(), total.clone(), began, stop + DRAIN));
        tasks.spawn(write(writer, peer, window, total, chat, began, stop));
    }
    let mut tally = Tally::new()?;
    while let Some(done) = tasks.join_next().await {
        match done?? {
            Done::Sent(sent) => {
                tally.sent += sent.messages;
                tally.acked += sent.acked;
            }
            Done::Received(sequence, latencies) => {
                tally.add(&sequence);
                latencies.into_iter().for_each(|micros| tally.took(micros));
            }
        }
    }
    let after = process::read(&options.server_pid)?;
    let messages = tally.received.max(1) as f64;
    let cpu = after.cpu_us_since(&before) / messages;
    let each: Vec<f64> = process::each_since(&options.server_pid, &each_before)?;
    let each: Vec<f64> = each.into_iter().map(|cpu| cpu / messages).collect();
    let rate = tally.received as f64 / chat.seconds.max(1) as f64;
    let (lost, latency) = (tally.lost(), tally.latency());
    let json = json!({
        "load": "chat", "pairs": chat.pairs, "in_flight": chat.in_flight, "bytes": chat.bytes, "tls": options.tls,
        "sm": chat.sm, "seconds": chat.seconds, "sent": tally.sent, "received": tally.received, "lost": lost,
        "doubled": tally.doubled, "reordered": tally.reordered, "acked": tally.acked, "per_second": rate,
        "server_cpu_us_per_message": cpu, "each_cpu_us_per_message": each, "latency": latency, "server": after.since(&before),
    });
    let percentile = |key: &str| latency.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
    let words = format!(
        "chat: {rate:.0} messages/s, {cpu:.1} us of server CPU each, p50 {} p99 {} max {} us, \
         lost {lost}, doubled {}, reordered {}, acked {} of {}",
        percentile("p50_us"),
        percentile("p99_us"),
        percentile("max_us"),
        tally.doubled,
        tally.reordered,
        tally.acked,
        tally.sent
    );
    Ok((json, words))
}

/// Writes as many as the window lets, in one go, until `stop`; with XEP-0198 waits until all are confirmed.
async fn write(
    mut client: Client,
    peer: String,
    window: Arc<Semaphore>,
    total: Arc<AtomicU64>,
    chat: Chat,
    began: Instant,
    stop: Instant,
) -> Result<Done> {
    let mut sent = Sent { messages: 0, acked: 0 };
    let (mut batch, mut counts) = (String::new(), Counts::default());
    while Instant::now() < stop {
        let room = tokio::select! {
            room = timeout_at(stop, window.acquire()) => match room {
                Ok(permit) => { permit?.forget(); 1 + window.forget_permits(chat.in_flight) }
                Err(_) => break,
            },
            filled = client.fill() => { filled?; 0 }
        };
        for _ in 0..room {
            let mut body = format!("{} {} ", sent.messages, micros(began.elapsed()));
            body.extend(std::iter::repeat_n('x', chat.bytes.saturating_sub(body.len())));
            batch.push_str(&format!(
                "<message to='{peer}' type='chat' id='{}'><body>{body}</body></message>",
                sent.messages
            ));
            sent.messages += 1;
        }
        if chat.sm && room > 0 {
            batch.push_str("<r xmlns='urn:xmpp:sm:3'/>");
        }
        hear(&mut client, &mut sent, &mut counts, &mut batch);
        if !batch.is_empty() {
            client.send(batch.as_bytes()).await?;
            batch.clear();
        }
    }
    total.store(sent.messages, Ordering::Release);
    while chat.sm && sent.acked < sent.messages {
        match timeout_at(stop + DRAIN, client.fill()).await {
            Ok(filled) => filled?,
            Err(_) => break,
        }
        hear(&mut client, &mut sent, &mut counts, &mut batch);
        if !batch.is_empty() {
            client.send(batch.as_bytes()).await?;
            batch.clear();
        }
    }
    client.close().await;
    Ok(Done::Sent(sent))
}

/// What a client counts of the stream, with and without XEP-0198.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    heard: u32,
    /// The highest `h` that the server has told.
    pub(crate) acked: u64,
}

impl Counts {
    /// Takes acks; answers `<r/>` and, as every client does, pings (XEP-0199 §4).
    pub(crate) fn hear(&mut self, stanza: &[u8], answer: &mut String) {
        match scan::name(stanza) {
            b"a" => {
                self.acked = self.acked.max(scan::attribute(stanza, "h").and_then(number).unwrap_or(0));
            }
            b"r" => answer.push_str(&self.answer()),
            b"message" | b"presence" => self.heard = self.heard.wrapping_add(1),
            b"iq" => {
                self.heard = self.heard.wrapping_add(1);
                let id = scan::attribute(stanza, "id").and_then(|id| std::str::from_utf8(id).ok());
                if let (Some(b"get"), Some(id)) = (scan::attribute(stanza, "type"), id) {
                    answer.push_str(&format!("<iq type='result' id='{id}'/>"));
                }
            }
            _ => {}
        }
    }

    /// `<a/>`
    pub(crate) fn answer(&self) -> String {
        format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.heard)
    }
}

/// Hears what there is. The initial presence was counted too, so it is taken off (XEP-0198 §4).
fn hear(client: &mut Client, sent: &mut Sent, counts: &mut Counts, batch: &mut String) {
    while let Some(event) = client.next() {
        if let Event::Stanza(stanza) = event {
            counts.hear(stanza, batch);
        }
    }
    sent.acked = counts.acked.saturating_sub(1);
}

/// Reads until everything that was sent has come, or `deadline`.
async fn read(
    mut client: Client,
    window: Arc<Semaphore>,
    total: Arc<AtomicU64>,
    began: Instant,
    deadline: Instant,
) -> Result<Done> {
    let (mut sequence, mut latencies, mut counts) = (Sequence::default(), Vec::new(), Counts::default());
    while Instant::now() < deadline && (latencies.len() as u64) < total.load(Ordering::Acquire) {
        match timeout_at(deadline.min(Instant::now() + LOOK), client.fill()).await {
            Ok(filled) => filled?,
            Err(_) => continue,
        }
        let (mut freed, mut answer) = (0, String::new());
        while let Some(event) = client.next() {
            let Event::Stanza(stanza) = event else { continue };
            counts.hear(stanza, &mut answer);
            let Some(body) = scan::text(stanza, "body") else { continue };
            let mut words = body.split(|byte| *byte == b' ');
            let index = words.next().and_then(number).context("a message without its number")?;
            let sent_at = words.next().and_then(number).context("a message without its time")?;
            sequence.note(index);
            latencies.push(micros(began.elapsed()).saturating_sub(sent_at));
            freed += 1;
        }
        window.add_permits(freed);
        if !answer.is_empty() {
            client.send(answer.as_bytes()).await?;
        }
    }
    client.close().await;
    Ok(Done::Received(sequence, latencies))
}

/// Digits.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
