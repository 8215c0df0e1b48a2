//! One account changes its presence, all its contacts hear it.

use crate::client::Client;
use crate::options::Options;
use crate::process;
use crate::scan::{self, Event};
use crate::sessions::{Report, log_in, micros};
use crate::stats::Tally;
use anyhow::{Context as _, Result};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long one round may take.
const ROUND: Duration = Duration::from_secs(20);

/// Subscribes the contacts, then measures `rounds` changes.
pub(crate) async fn run(options: Arc<Options>, contacts: usize, rounds: u64) -> Result<Report> {
    let mut clients = log_in(&options, contacts + 1).await?.into_iter();
    let mut owner = clients.next().context("no account")?;
    let owner_jid = format!("{}@{}", options.user(0), options.domain);
    owner.send(b"<presence/>").await?;
    let mut readers = Vec::with_capacity(contacts);
    for (index, mut contact) in clients.enumerate() {
        let jid = format!("{}@{}", options.user(index + 1), options.domain);
        contact.send(format!("<presence/><presence to='{owner_jid}' type='subscribe'/>").as_bytes()).await?;
        owner.send(format!("<presence to='{jid}' type='subscribed'/>").as_bytes()).await?; // again below: either order works
        readers.push((jid, contact));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (jid, _) in &readers {
        owner.send(format!("<presence to='{jid}' type='subscribed'/>").as_bytes()).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;

    let mut readers: Vec<Client> = readers.into_iter().map(|(_, contact)| contact).collect();
    let (mut tally, before) = (Tally::new()?, process::read(&options.server_pid)?);
    for round in 0..rounds {
        let mark = format!("<status>round {round}</status>");
        let began = Instant::now();
        owner.send(format!("<presence>{mark}</presence>").as_bytes()).await?;
        tally.sent += readers.len() as u64;
        let mut tasks = JoinSet::new();
        for mut reader in readers.drain(..) {
            let mark = mark.clone();
            tasks.spawn(async move {
                let heard = timeout(ROUND, hear(&mut reader, &mark)).await.is_ok_and(|heard| heard.is_ok());
                (reader, heard.then(|| micros(began.elapsed())))
            });
        }
        while let Some(done) = tasks.join_next().await {
            let (reader, heard) = done?;
            readers.push(reader);
            if let Some(micros) = heard {
                tally.received += 1;
                tally.took(micros);
            }
        }
        if tally.lost() > 0 {
            break; // the count is told; further rounds would only wait
        }
    }
    let after = process::read(&options.server_pid)?;
    let cpu = after.cpu_us_since(&before) / tally.received.max(1) as f64;
    let (lost, latency) = (tally.lost(), tally.latency());
    let words =
        format!("presence: {} delivered, {lost} lost, {cpu:.1} us of server CPU each", tally.received);
    let json = json!({
        "load": "presence", "contacts": contacts, "rounds": rounds, "received": tally.received, "lost": lost,
        "server_cpu_us_per_presence": cpu, "latency": latency, "server": after.since(&before),
    });
    Ok((json, words))
}

async fn hear(client: &mut Client, mark: &str) -> Result<()> {
    loop {
        while let Some(event) = client.next() {
            if let Event::Stanza(stanza) = event
                && scan::holds(stanza, mark)
            {
                return Ok(());
            }
        }
        client.fill().await?;
    }
}
