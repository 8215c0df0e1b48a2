//! XEP-0227 Portable Import/Export Format for XMPP-IM Servers: `starling import` takes over accounts from another server.
//!
//! Version 1.1 of XEP-0227: partial; without PEP nodes, but for the card and the picture in them, and of privacy lists what they block.
//!
//! The files are read twice: what is not XML is refused before anything is written. An account gets its keys last, so one without
//! keys is one that an import has not finished, and the same command finishes it.

mod card;
mod data;
mod files;
mod include;
mod message;
mod person;
mod privacy;
mod target;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use starling_jid::BareJid;
use starling_ports::clock::{Clock, SystemClock};
use starling_ports::ids::Timestamp;

use super::{Place, block_on, complain, say};
use crate::config::{Config, Mode};
use data::Lost;
use files::{Files, Item};
use message::Kept;
use person::Person;
use target::Target;

/// Take over accounts from another server, from an export as XEP-0227 describes it.
///
/// Their passwords or SCRAM keys, contacts, vCards, private XML, block lists, messages that wait, and archives. Into the embedded store, whose server must be stopped, or, with
/// `mode = "cluster"`, into the stores of a cluster before its first session router is started. An account that is there already is
/// left alone. May be done again: goes on where it was broken off.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Write nothing: say what would be done.
    #[arg(long)]
    check: bool,
    /// The export's main file, or a directory: then all main files in it.
    from: PathBuf,
}

/// What was taken over.
#[derive(Debug, Default)]
pub(super) struct Counts {
    accounts: usize,
    there: usize,
    contacts: usize,
    documents: usize,
    blocked: usize,
    archived: usize,
    waiting: usize,
    /// Messages that the configuration lets nobody keep.
    old: usize,
    /// Accounts that no password fits, because none came with them.
    keyless: usize,
    /// Accounts whose keys are for SHA-1 alone.
    sha1_only: usize,
    /// The same for SHA-256.
    sha256_only: usize,
}

/// By account, the digests of what waits for it, and how often each.
type Waiting = HashMap<BareJid, HashMap<u128, usize>>;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = arguments.place.load()?;
    let (waiting, domains) = survey(&arguments.from)?;
    let (counts, lost) = block_on(async {
        let target = Target::open(&config, arguments.check).await?;
        let done = take_over(&config, &arguments.from, target.as_ref(), arguments.check, waiting).await;
        if let Some(target) = target {
            target.close();
        }
        done
    })?;
    report(&config, arguments.check, &counts, &lost, &domains);
    Ok(ExitCode::SUCCESS)
}

/// The first reading: all must be XML, and it is noted what waits.
fn survey(from: &Path) -> Result<(Waiting, BTreeSet<String>)> {
    let (mut files, mut waiting) = (Files::of(from)?, Waiting::new());
    let (mut domain, mut owner, mut domains) = (String::new(), None, BTreeSet::new());
    let now = SystemClock.now();
    while let Some(item) = files.next()? {
        match item {
            Item::Host(host) => {
                domain = prepared(&host).with_context(|| files.place())?;
                domains.insert(domain.clone());
            }
            Item::User { name, .. } => owner = BareJid::from_parts(Some(&name), &domain).ok(),
            Item::Offline(raw) => {
                if let Some(owner) = &owner
                    && let Some(kept) = Kept::offline(owner, raw, now)
                {
                    *waiting.entry(owner.clone()).or_default().entry(kept.digest).or_default() += 1;
                }
            }
            Item::Data(_) | Item::Archived(_) | Item::UserEnd | Item::Unknown => {}
        }
    }
    Ok((waiting, domains))
}

fn prepared(host: &str) -> Result<String> {
    let domain = BareJid::from_parts(None, host).with_context(|| format!("the host {host:?}"))?;
    Ok(domain.as_str().to_owned())
}

/// The second reading.
async fn take_over(
    config: &Config,
    from: &Path,
    target: Option<&Target>,
    check: bool,
    mut waiting: Waiting,
) -> Result<(Counts, Lost)> {
    let (mut counts, mut lost) = (Counts::default(), Lost::default());
    let (mut files, mut domain, mut person) = (Files::of(from)?, String::new(), None);
    let (written, oldest) = (target.filter(|_| !check), oldest(config));
    while let Some(item) = files.next()? {
        match (item, &mut person) {
            (Item::Host(host), _) => domain = prepared(&host)?,
            (Item::User { name, password }, _) => {
                person = None;
                let Ok(owner) = BareJid::from_parts(Some(&name), &domain) else {
                    lost.note("accounts whose name is none", 1);
                    continue;
                };
                let there = match target {
                    Some(target) => target.account(&owner).await?,
                    None => None,
                };
                let waits = waiting.remove(&owner).unwrap_or_default();
                match Person::begin(owner, password, there, waits, config.im.archive, oldest) {
                    Some(begun) => person = Some(begun),
                    None => counts.there += 1,
                }
                if let (Some(person), Some(target)) = (&person, written) {
                    person.create(target).await.with_context(|| format!("the account {}", person.owner))?;
                }
            }
            (Item::Unknown, _) => lost.note("elements in a place where this format has none", 1),
            (_, None) => {}
            (Item::UserEnd, _) => {
                if let Some(person) = person.take() {
                    let owner = person.owner.clone();
                    person
                        .end(written, &mut counts, &mut lost)
                        .await
                        .with_context(|| format!("the account {owner}"))?;
                }
            }
            (item, Some(person)) => {
                let done = person.take(item, written, &mut counts, &mut lost).await;
                done.with_context(|| format!("{}: the account {}", files.place(), person.owner))?;
            }
        }
    }
    Ok((counts, lost))
}

/// What is older is erased when the server runs; in a cluster age counts from the import.
fn oldest(config: &Config) -> Timestamp {
    let ttl = config.store().archive_ttl;
    let is_kept = config.mode == Mode::Cluster || ttl.is_zero();
    let micros = if is_kept { u64::MAX } else { u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX) };
    Timestamp(SystemClock.now().0.saturating_sub(micros))
}

fn report(config: &Config, check: bool, counts: &Counts, lost: &Lost, domains: &BTreeSet<String>) {
    let Counts { accounts, contacts, documents, blocked, archived, waiting, .. } = counts;
    say(&format!(
        "{}: {accounts} accounts, {contacts} contacts, {documents} documents, {blocked} blocked addresses, {archived} archived \
         messages, {waiting} messages that wait",
        if check { "would import" } else { "imported" }
    ));
    if counts.there > 0 {
        say(&format!("left alone: {} accounts that are there already", counts.there));
    }
    for (what, count) in &lost.0 {
        say(&format!("not kept: {count} {what}"));
    }
    let hints = [
        (counts.keyless, "have no password: nobody signs in there before `starling ctl user passwd`"),
        (
            counts.sha1_only,
            "have keys for SCRAM-SHA-1 alone: set `listen.mechanisms = [\"SCRAM-SHA-1\", \"PLAIN\"]`, for clients take the best that is \
             offered",
        ),
        (
            counts.sha256_only,
            "have keys for SCRAM-SHA-256 alone: clients that only know SCRAM-SHA-1 cannot sign in there",
        ),
    ];
    if counts.old > 0 {
        let old = counts.old;
        say(&format!(
            "note: {old} messages are older than `store.archive-ttl` and are erased when the server runs: set that first"
        ));
    }
    for (count, what) in hints.iter().filter(|(count, _)| *count > 0) {
        say(&format!("note: {count} accounts {what}"));
    }
    let is_served =
        |domain: &String| config.domains.iter().any(|one| prepared(one).is_ok_and(|one| one == *domain));
    for domain in domains.iter().filter(|domain| !is_served(domain)) {
        complain(&format!(
            "{domain} is not among `domains` of the configuration: nobody signs in there before it is"
        ));
    }
}
