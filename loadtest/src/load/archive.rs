//! Pages through archives (XEP-0313): each reader has a known number of messages in its own, and every sweep must show all.

use super::{Entry, Outcome, Stage};
use crate::check::{Findings, Sequence};
use crate::client::Client;
use crate::mark::Mark;
use crate::recorder::micros;
use crate::sasl::told;
use crate::scan::{self, Event};
use crate::scenario::Archive;
use anyhow::{Context as _, Result, ensure};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Messages that one sender writes before it waits until they are taken in.
const BURST: u64 = 16;

/// One archive that is read.
struct Reader {
    client: Client,
    /// The account, for reports.
    name: String,
    flow: u32,
    /// The last id that was there before this run.
    before: Option<String>,
    rows: u64,
    findings: Findings,
}

/// Runs the load.
pub(super) async fn run(stage: Arc<Stage>, archive: Archive) -> Result<Outcome> {
    let entry = Entry { sm: false, presence: true };
    let mut clients = stage.enter_all(0, stage.accounts.len() & !1, entry).await?.into_iter();
    let (mut tasks, mut pair) = (JoinSet::new(), 0);
    while let (Some(writer), Some(client)) = (clients.next(), clients.next()) {
        let flow = u32::try_from(stage.first / 2 + pair)?;
        let (name, rows) = (stage.jid(pair * 2 + 1)?, 0);
        let reader = Reader { client, name, flow, before: None, rows, findings: Findings::default() };
        tasks.spawn(prepare(stage.clone(), writer, reader, archive.clone()));
        pair += 1;
    }
    let mut readers = Vec::with_capacity(pair);
    while let Some(reader) = tasks.join_next().await {
        readers.push(reader??);
    }
    let (began, _) = stage.clock.begin().await?;
    let mut tasks = JoinSet::new();
    for reader in readers {
        tasks.spawn(sweep_all(stage.clone(), reader, archive.clone()));
    }
    let (mut outcome, mut rows, mut kept) = (Outcome::default(), 0, Vec::new());
    while let Some(done) = tasks.join_next().await {
        let reader = done?;
        rows += reader.rows;
        outcome.findings.add(reader.findings);
        kept.push(reader.client);
    }
    stage.clock.end().await?;
    outcome.figures.push(("rows-per-second", rows as f64 / began.elapsed().as_secs_f64().max(0.001)));
    for client in kept {
        stage.leave(client).await;
    }
    Ok(outcome)
}

/// Fills the archive, from where it ends now.
async fn prepare(
    stage: Arc<Stage>,
    mut writer: Client,
    mut reader: Reader,
    archive: Archive,
) -> Result<Reader> {
    let query = query("<max>1</max><before/>");
    reader.client.send(query.as_bytes()).await?;
    let fin = reader.client.answer("page").await?;
    ensure!(scan::attribute(&fin, "type") == Some(b"result"), "no archive: {}", told(&fin));
    reader.before = scan::text(&fin, "last").map(|id| String::from_utf8_lossy(id).into_owned());
    let (mut sent, mut came) = (0, 0);
    while sent < archive.messages.get() {
        let mut batch = String::new();
        let upto = archive.messages.get().min(sent + BURST);
        for number in sent..upto {
            batch.push_str(&format!("<message to='{}' type='chat' id='{number}'><body>", reader.client.jid));
            let mark = Mark { run: stage.run, flow: reader.flow, number, at: 0 };
            mark.write(&mut batch, archive.bytes.size());
            batch.push_str("</body></message>");
        }
        sent = upto;
        writer.send(batch.as_bytes()).await?;
        let deadline = Instant::now() + stage.drain;
        while came < sent {
            timeout_at(deadline, reader.client.fill()).await.context("the archive was not filled")??;
            while let Some(event) = reader.client.next() {
                let Event::Stanza(stanza) = event else { continue };
                let mark = scan::text(stanza, "body").and_then(Mark::read);
                came += u64::from(mark.is_some_and(|mark| mark.run == stage.run));
            }
            reader.client.reply().await?;
        }
    }
    stage.leave(writer).await;
    Ok(reader)
}

fn query(set: &str) -> String {
    format!(
        "<iq type='set' id='page'><query xmlns='urn:xmpp:mam:2' queryid='page'>\
         <set xmlns='http://jabber.org/protocol/rsm'>{set}</set></query></iq>"
    )
}

/// Sweeps until the run ends; a sweep that was begun is ended, and judged.
async fn sweep_all(stage: Arc<Stage>, mut reader: Reader, archive: Archive) -> Reader {
    let mut number = 0;
    while stage.clock.goes_on() {
        let mut sequence = Sequence::default();
        let swept = sweep(&stage, &mut reader, &archive, &mut sequence).await;
        number += 1;
        let flow = format!("archive of {}, sweep {number}", reader.name);
        reader.findings.judge(&flow, &sequence, archive.messages.get(), 0);
        if stage.count(swept).is_none() {
            break;
        }
    }
    reader
}

async fn sweep(stage: &Stage, reader: &mut Reader, archive: &Archive, sequence: &mut Sequence) -> Result<()> {
    let mut after = reader.before.clone();
    loop {
        let place = after.as_ref().map_or_else(String::new, |id| format!("<after>{id}</after>"));
        let asked = Instant::now();
        stage.clock.take(1);
        let query = query(&format!("<max>{}</max>{place}", archive.page.get()));
        reader.client.send(query.as_bytes()).await?;
        let (is_complete, last) = page(stage, reader, sequence).await?;
        stage.recorder.took("page", [micros(asked.elapsed())]);
        after = last.or(after);
        if is_complete {
            return Ok(());
        }
        ensure!(after.is_some(), "a page that is not the last one names no last id");
    }
}

/// Reads one page; whether it is the last, and its last id.
async fn page(stage: &Stage, reader: &mut Reader, sequence: &mut Sequence) -> Result<(bool, Option<String>)> {
    let deadline = Instant::now() + stage.drain;
    loop {
        while let Some(event) = reader.client.next() {
            let Event::Stanza(stanza) = event else { continue };
            if scan::name(stanza) == b"iq" && scan::attribute(stanza, "id") == Some(b"page") {
                ensure!(
                    scan::attribute(stanza, "type") == Some(b"result"),
                    "a page was refused: {}",
                    told(stanza)
                );
                let fin = scan::elements(stanza, "fin").next().unwrap_or_default();
                let last = scan::text(stanza, "last").map(|id| String::from_utf8_lossy(id).into_owned());
                return Ok((scan::attribute(fin, "complete") == Some(b"true"), last));
            }
            let mark = scan::text(stanza, "body").and_then(Mark::read);
            if let Some(mark) = mark.filter(|mark| mark.run == stage.run && mark.flow == reader.flow) {
                sequence.note(mark.number);
                reader.rows += 1;
            }
        }
        reader.client.reply().await?;
        timeout_at(deadline, reader.client.fill()).await.context("a page did not come")??;
    }
}
