//! Messages to accounts that are not there, confirmed by XEP-0198, then collected by them.

use crate::chat::{Counts, number};
use crate::client::Client;
use crate::options::Options;
use crate::process;
use crate::scan::{self, Event};
use crate::sessions::{Report, log_in};
use crate::stats::{Sequence, Tally};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Messages that one sender writes before it waits for their `<a/>`.
const BURST: u64 = 16;
/// How long any step may take.
const STEP: Duration = Duration::from_secs(30);

/// Each of `pairs` senders leaves `messages` for one account, which then comes and reads them.
pub(crate) async fn run(options: Arc<Options>, pairs: usize, messages: u64) -> Result<Report> {
    let mut senders = log_in(&options, pairs).await?;
    for sender in &mut senders {
        sender.enable_sm().await?;
    }
    let (before, began) = (process::read(&options.server_pid)?, Instant::now());
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    for (index, sender) in senders.into_iter().enumerate() {
        let to = format!("{}@{}", options.user(pairs + index), options.domain);
        tasks.spawn(leave(sender, to, messages));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let stored = process::read(&options.server_pid)?;
    let seconds = began.elapsed().as_secs_f64();

    let readers = log_in_from(&options, pairs).await?;
    let (ready, began) = (process::read(&options.server_pid)?, Instant::now());
    let mut tasks: JoinSet<Result<Sequence>> = JoinSet::new();
    for reader in readers {
        tasks.spawn(collect(reader, messages));
    }
    let mut tally = Tally::new()?;
    tally.sent = messages * pairs as u64;
    while let Some(done) = tasks.join_next().await {
        tally.add(&done??);
    }
    let collected = process::read(&options.server_pid)?;
    let count = tally.sent.max(1) as f64;
    let (store, collect) = (stored.cpu_us_since(&before) / count, collected.cpu_us_since(&ready) / count);
    let (store_rate, collect_rate) = (count / seconds, count / began.elapsed().as_secs_f64());
    let lost = tally.lost();
    let json = json!({
        "load": "offline", "pairs": pairs, "messages": tally.sent, "lost": lost, "doubled": tally.doubled,
        "reordered": tally.reordered, "server_cpu_us_per_stored": store, "server_cpu_us_per_collected": collect,
        "stored_per_second": store_rate, "collected_per_second": collect_rate,
    });
    let words = format!(
        "offline: stored {store:.1} us each ({store_rate:.0}/s), collected {collect:.1} us each \
         ({collect_rate:.0}/s), lost {lost}, doubled {}, reordered {}",
        tally.doubled, tally.reordered
    );
    Ok((json, words))
}

/// The accounts behind the first `pairs`, with XEP-0198 and without presence yet.
async fn log_in_from(options: &Arc<Options>, pairs: usize) -> Result<Vec<Client>> {
    let mut clients = log_in(options, pairs * 2).await?.split_off(pairs);
    for client in &mut clients {
        client.enable_sm().await?;
    }
    Ok(clients)
}

async fn leave(mut client: Client, to: String, messages: u64) -> Result<()> {
    let mut sent = 0;
    while sent < messages {
        let mut batch = String::new();
        for number in sent..messages.min(sent + BURST) {
            batch.push_str(&format!(
                "<message to='{to}' type='chat' id='{number}'><body>{number} 0 {}</body></message>",
                "x".repeat(60)
            ));
        }
        sent = messages.min(sent + BURST);
        batch.push_str("<r xmlns='urn:xmpp:sm:3'/>");
        client.send(batch.as_bytes()).await?;
        let mut counts = Counts::default();
        while counts.acked < sent {
            timeout(STEP, client.fill()).await.context("no ack for a message to somebody offline")??;
            let mut answer = String::new();
            while let Some(event) = client.next() {
                let Event::Stanza(stanza) = event else { continue };
                ensure!(scan::name(stanza) != b"message", "refused: {}", String::from_utf8_lossy(stanza));
                counts.hear(stanza, &mut answer);
            }
            if !answer.is_empty() {
                client.send(answer.as_bytes()).await?;
            }
        }
    }
    client.close().await;
    Ok(())
}

async fn collect(mut client: Client, messages: u64) -> Result<Sequence> {
    let (mut sequence, mut counts, mut seen) = (Sequence::default(), Counts::default(), 0);
    client.send(b"<presence/>").await?;
    while seen < messages {
        if timeout(STEP, client.fill()).await.is_err() {
            break; // what is missing is counted as lost
        }
        let mut answer = String::new();
        while let Some(event) = client.next() {
            let Event::Stanza(stanza) = event else { continue };
            counts.hear(stanza, &mut answer);
            let Some(body) = scan::text(stanza, "body") else { continue };
            let index = body.split(|byte| *byte == b' ').next().and_then(number);
            sequence.note(index.context("a message without its number")?);
            seen += 1;
        }
        if seen >= messages {
            answer.push_str(&counts.answer());
        }
        if !answer.is_empty() {
            client.send(answer.as_bytes()).await?;
        }
    }
    client.close().await;
    Ok(sequence)
}
