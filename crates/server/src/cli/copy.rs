//! `starling store copy`: from one machine to a cluster. Account by account, and every value is read again and compared.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use starling_jid::BareJid;
use starling_ports::accounts::{Account, Accounts};
use starling_ports::archive::{Archive, Page, Query, Table};
use starling_ports::blocklist::BlockLists;
use starling_ports::clock::SystemClock;
use starling_ports::documents::Documents;
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_ports::last_activity::LastActivities;
use starling_ports::position::Positions;
use starling_ports::preferences::PreferenceStore;
use starling_ports::roster::{Roster, Rosters};
use starling_store_embedded as embedded;
use starling_store_redis as redis;
use starling_store_scylla as cql;

use super::store::open;
use super::{Place, block_on, say};
use crate::config::Config;

/// Names and rows of one step.
const STEP: usize = 200;

/// What was copied, now or before, and found to be the same on both sides.
#[derive(Debug, Default)]
struct Counts {
    accounts: u64,
    contacts: u64,
    documents: u64,
    archived: u64,
    waiting: u64,
}

pub(super) fn run(place: &Place, from: &Path) -> Result<ExitCode> {
    let config = place.load()?;
    let source = open(&Config { data_dir: from.to_owned(), ..config.clone() })?; // refused if a server has it
    let copied = block_on(async {
        let target = stores_of_a_cluster_that_has_not_run(&config, "copied", "copy").await?;
        copy(&source, &target).await
    });
    source.close();
    let counts = copied?;
    let Counts { accounts, contacts, documents, archived, waiting } = counts;
    say(&format!(
        "copied and compared: {accounts} accounts, {contacts} contacts, {documents} documents, {archived} archived messages, \
         {waiting} messages in the spool"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Where accounts may be put (`done`, `act`): a Redis that knows something of them would hide it.
pub(super) async fn stores_of_a_cluster_that_has_not_run(
    config: &Config,
    done: &str,
    act: &str,
) -> Result<Arc<cql::Store>> {
    let is_used = redis::holds_anything(config.redis(), Arc::new(SystemClock)).await;
    ensure!(
        !is_used.map_err(|error| anyhow!("Redis: {error}"))?,
        "Redis is not empty: what it knows of a cluster that has run would hide what is {done}; {act} before the first \
         session router is started, or empty Redis when all are stopped"
    );
    cql::Store::connect(&config.scylla).await.context("the CQL store")
}

async fn copy(source: &embedded::Store, target: &cql::Store) -> Result<Counts> {
    let (mut counts, mut after) = (Counts::default(), None);
    loop {
        let names = source.list(after.as_ref(), STEP).await?;
        let Some(last) = names.last().cloned() else { return Ok(counts) };
        for owner in &names {
            account(source, target, owner, &mut counts)
                .await
                .with_context(|| format!("the account {owner}"))?;
            counts.accounts += 1;
        }
        after = Some(last);
    }
}

/// The account comes last: until then it is not there for anybody.
async fn account(
    source: &embedded::Store,
    target: &cql::Store,
    owner: &BareJid,
    counts: &mut Counts,
) -> Result<()> {
    let Some(account) = Accounts::get(source, owner).await? else { return Ok(()) };
    if let Some(there) = Accounts::get(target, owner).await?
        && (&there.credentials, there.created) != (&account.credentials, account.created)
    {
        bail!("the cluster has another account of this name");
    }
    counts.archived += rows(source, target, Table::Archive, owner).await?;
    counts.waiting += rows(source, target, Table::Spool, owner).await?;
    counts.contacts += roster(source, target, owner).await?;
    counts.documents += documents(source, target, owner).await?;
    small(source, target, owner).await?;
    credentials(target, owner, account).await
}

/// Pages of both sides side by side: only what is missing is written, so a second time costs reads alone.
async fn rows(source: &embedded::Store, target: &cql::Store, table: Table, owner: &BareJid) -> Result<u64> {
    let (mut query, mut count) = (Query::default(), 0);
    loop {
        let page: Page = Archive::page(source, table, owner, &query, STEP).await?;
        let last = page.rows.last().map(|row| row.id);
        let upto = if page.complete { Some(HIGHEST) } else { last };
        let same = Query { upto, ..query.clone() };
        if Archive::page(target, table, owner, &same, STEP).await?.rows != page.rows {
            Archive::put(target, table, owner, page.rows.clone()).await?;
            let there = Archive::page(target, table, owner, &same, STEP).await?;
            ensure!(there.rows == page.rows, "the {table:?} of the cluster differs after {:?}", query.after);
        }
        count += page.rows.len() as u64;
        if page.complete {
            return Ok(count);
        }
        query.after = last;
    }
}

const HIGHEST: ArchiveId = ArchiveId { number: u64::MAX, random: u64::MAX };

async fn roster(source: &embedded::Store, target: &cql::Store, owner: &BareJid) -> Result<u64> {
    let roster = Rosters::get(source, owner).await?;
    if !is_same(&*Rosters::get(target, owner).await?, &roster) {
        ensure!(target.adopt_roster(owner, &roster).await?, "the cluster has a later roster");
        ensure!(is_same(&*Rosters::get(target, owner).await?, &roster), "the roster of the cluster differs");
    }
    Ok(roster.contacts.len() as u64)
}

fn is_same(one: &Roster, other: &Roster) -> bool {
    let whole =
        |roster: &Roster| (roster.version, roster.since, roster.contacts.clone(), roster.removed.clone());
    whole(one) == whole(other)
}

async fn documents(source: &embedded::Store, target: &cql::Store, owner: &BareJid) -> Result<u64> {
    let documents = source.documents(owner)?;
    for (document, xml) in &documents {
        if Documents::get(target, owner, document).await?.as_ref() != Some(xml) {
            Documents::put(target, owner, document, xml.clone()).await?;
            let there = Documents::get(target, owner, document).await?;
            ensure!(there.as_ref() == Some(xml), "a document of the cluster differs: {document:?}");
        }
    }
    Ok(documents.len() as u64)
}

/// One value an account each.
async fn small(source: &embedded::Store, target: &cql::Store, owner: &BareJid) -> Result<()> {
    let blocked = BlockLists::get(source, owner).await?;
    if BlockLists::get(target, owner).await? != blocked {
        BlockLists::put(target, owner, blocked.clone()).await?;
        ensure!(BlockLists::get(target, owner).await? == blocked, "the block list of the cluster differs");
    }
    let preferences = PreferenceStore::get(source, owner).await?;
    if let Some(preferences) = preferences
        && PreferenceStore::get(target, owner).await?.as_ref() != Some(&preferences)
    {
        PreferenceStore::put(target, owner, preferences.clone()).await?;
        let there = PreferenceStore::get(target, owner).await?;
        ensure!(there == Some(preferences), "the preferences of the cluster differ");
    }
    let last = LastActivities::get(source, owner).await?;
    if let Some(last) = last
        && LastActivities::get(target, owner).await?.as_ref() != Some(&last)
    {
        LastActivities::put(target, owner, last.clone()).await?;
        ensure!(LastActivities::get(target, owner).await? == Some(last), "the last activity differs");
    }
    let position = Positions::get(source, owner).await?;
    if Positions::get(target, owner).await? != position {
        Positions::save(target, owner, position.clone()).await?;
        ensure!(Positions::get(target, owner).await? == position, "the position of the cluster differs");
    }
    Ok(())
}

async fn credentials(target: &cql::Store, owner: &BareJid, account: Account) -> Result<()> {
    let (created, suspended) = (Timestamp(account.created), account.suspended);
    target.create(owner, account.credentials.clone(), created).await?;
    if suspended {
        target.set_suspended(owner, true).await?;
    }
    let there = Accounts::get(target, owner).await?;
    ensure!(there.as_ref() == Some(&account), "the account of the cluster differs");
    Ok(())
}
