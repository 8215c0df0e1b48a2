//! One account on its way in.

use std::collections::HashMap;

use anyhow::{Result, anyhow};
use starling_jid::{BareJid, prepare_password};
use starling_ports::accounts::{Account, Credentials, ScramKeys};
use starling_ports::archive::{Row, Table};
use starling_ports::clock::{Clock, SystemClock};
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_ports::position::Position;
use starling_session_router::ITERATIONS;
use starling_stream::sasl::scram::{self, Hash};
use starling_xml::Raw;

use super::Counts;
use super::data::{self, Data, Lost, Own};
use super::files::Item;
use super::message::Kept;
use super::target::Target;

/// Rows of one write.
const STEP: usize = 200;

/// What is known of it so far.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) owner: BareJid,
    created: Timestamp,
    is_new: bool,
    password: Option<String>,
    keys: Credentials,
    suspended: bool,
    waits: Waits,
    /// Where messages go that wait.
    table: Table,
    rows: Vec<(Table, Row)>,
    last: Ids,
    /// What is older is erased when the server runs.
    oldest: Timestamp,
}

/// How far the ids of this account go.
#[derive(Debug, Default)]
struct Ids {
    archived: Option<u64>,
    waiting: Option<u64>,
    highest: Option<ArchiveId>,
    first_waiting: Option<ArchiveId>,
}

/// What waits is often archived, too: it becomes one row, whichever of the two comes first.
#[derive(Debug, Default)]
struct Waits {
    expected: HashMap<u128, usize>,
    by_archive: HashMap<u128, usize>,
    by_offline: HashMap<u128, usize>,
}

/// One of them, if there is one.
fn take(from: &mut HashMap<u128, usize>, digest: u128) -> bool {
    match from.get_mut(&digest) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    }
}

impl Person {
    /// `None` if the account is there, and not one that an import has not finished.
    pub(super) fn begin(
        owner: BareJid,
        password: Option<String>,
        there: Option<Account>,
        waits: HashMap<u128, usize>,
        archive: bool,
        oldest: Timestamp,
    ) -> Option<Person> {
        if there.as_ref().is_some_and(|account| account.credentials != Credentials::default()) {
            return None;
        }
        Some(Person {
            owner,
            created: there.as_ref().map_or_else(|| SystemClock.now(), |account| Timestamp(account.created)),
            is_new: there.is_none(),
            password,
            keys: Credentials::default(),
            suspended: false,
            waits: Waits { expected: waits, ..Waits::default() },
            table: if archive { Table::Archive } else { Table::Spool },
            rows: Vec::new(),
            last: Ids::default(),
            oldest,
        })
    }

    pub(super) async fn create(&self, target: &Target) -> Result<()> {
        if self.is_new { target.create(&self.owner, self.created).await } else { Ok(()) }
    }

    /// Something of the account.
    pub(super) async fn take(
        &mut self,
        item: Item,
        target: Option<&Target>,
        counts: &mut Counts,
        lost: &mut Lost,
    ) -> Result<()> {
        match item {
            Item::Data(raw) => self.take_data(&raw, target, counts, lost).await?,
            Item::Offline(raw) => self.take_waiting(raw, counts, lost),
            Item::Archived(raw) => self.take_archived(&raw, counts, lost),
            Item::Host(_) | Item::User { .. } | Item::UserEnd | Item::Unknown => {}
        }
        if self.rows.len() >= STEP { self.put_rows(target).await } else { Ok(()) }
    }

    /// All has come.
    pub(super) async fn end(
        mut self,
        target: Option<&Target>,
        counts: &mut Counts,
        lost: &mut Lost,
    ) -> Result<()> {
        self.put_rows(target).await?;
        let position = self.last.position();
        let keys = self.all_keys(lost)?;
        counts.accounts += 1;
        counts.keyless += usize::from(keys == Credentials::default());
        counts.sha1_only += usize::from(keys.sha1.is_some() && keys.sha256.is_none());
        counts.sha256_only += usize::from(keys.sha1.is_none() && keys.sha256.is_some());
        let Some(target) = target else { return Ok(()) };
        target.save_position(&self.owner, position).await?;
        if self.suspended {
            target.suspend(&self.owner).await?;
        }
        if keys != Credentials::default() {
            target.set_keys(&self.owner, keys).await?;
        }
        Ok(())
    }

    async fn take_data(
        &mut self,
        raw: &Raw,
        target: Option<&Target>,
        counts: &mut Counts,
        lost: &mut Lost,
    ) -> Result<()> {
        let owner = &self.owner;
        match data::read(owner, raw, lost) {
            Data::Keys(Hash::Sha1, keys) => self.keys.sha1 = Some(keys),
            Data::Keys(Hash::Sha256, keys) => self.keys.sha256 = Some(keys),
            Data::Contacts(contacts) => {
                counts.contacts += contacts.iter().filter(|contact| contact.listed).count();
                if let Some(target) = target {
                    target.put_contacts(owner, &contacts).await?;
                }
            }
            Data::Documents(documents) => {
                counts.documents += documents.len();
                for (document, xml) in documents {
                    if let Some(target) = target {
                        target.put_document(owner, &document, xml).await?;
                    }
                }
            }
            Data::Card(card) => {
                counts.documents += 1;
                if let Some(target) = target {
                    target.put_card(owner, card).await?;
                }
            }
            Data::Blocked(jids) => {
                counts.blocked += jids.len();
                if let Some(target) = target {
                    target.block(owner, jids).await?;
                }
            }
            Data::Preferences(preferences) => {
                if let Some(target) = target {
                    target.put_preferences(owner, preferences).await?;
                }
            }
            Data::Own(Own { suspended, last, approved }) => {
                self.suspended |= suspended;
                if let Some(target) = target {
                    target.put_contacts(owner, &approved).await?;
                    if let Some(last) = last {
                        target.put_last(owner, last).await?;
                    }
                }
            }
            Data::Nothing => {}
        }
        Ok(())
    }

    fn take_waiting(&mut self, raw: Raw, counts: &mut Counts, lost: &mut Lost) {
        let Some(kept) = Kept::offline(&self.owner, raw, self.created) else {
            return lost.note("messages that wait and cannot be read", 1);
        };
        counts.waiting += 1;
        if take(&mut self.waits.by_archive, kept.digest) {
            return;
        }
        take(&mut self.waits.expected, kept.digest);
        *self.waits.by_offline.entry(kept.digest).or_default() += 1;
        // What this server has exported is in its archive if it belongs there.
        let table = if kept.is_ours() { Table::Spool } else { self.table };
        let row = kept.row(&self.owner, self.last.waiting, true);
        self.last.waiting = Some(row.id.number);
        self.add(table, row);
    }

    fn take_archived(&mut self, raw: &Raw, counts: &mut Counts, lost: &mut Lost) {
        let Some(kept) = Kept::archived(&self.owner, raw, self.created) else {
            return lost.note("archived messages that cannot be read", 1);
        };
        counts.archived += 1;
        counts.old += usize::from(kept.at < self.oldest);
        let may_wait = self.table == Table::Archive || kept.is_ours();
        if may_wait && take(&mut self.waits.by_offline, kept.digest) {
            return;
        }
        let waits = may_wait && take(&mut self.waits.expected, kept.digest);
        if waits {
            *self.waits.by_archive.entry(kept.digest).or_default() += 1;
        }
        let row = kept.row(&self.owner, self.last.archived, waits);
        self.last.archived = Some(row.id.number);
        self.add(Table::Archive, row);
    }

    fn add(&mut self, table: Table, row: Row) {
        self.last.highest = self.last.highest.max(Some(row.id));
        if row.deliverable {
            self.last.first_waiting = Some(self.last.first_waiting.map_or(row.id, |first| first.min(row.id)));
        }
        self.rows.push((table, row));
    }

    async fn put_rows(&mut self, target: Option<&Target>) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let Some(target) = target else { return Ok(()) };
        for table in [Table::Archive, Table::Spool] {
            let some: Vec<Row> =
                rows.iter().filter(|(of, _)| *of == table).map(|(_, row)| row.clone()).collect();
            if !some.is_empty() {
                target.put_rows(table, &self.owner, some).await?;
            }
        }
        Ok(())
    }

    /// Those that came, or both from a password, which is worth more.
    fn all_keys(&self, lost: &mut Lost) -> Result<Credentials> {
        let Some(password) = &self.password else { return Ok(self.keys.clone()) };
        let Ok(password) = prepare_password(password) else {
            lost.note("passwords that are none", 1);
            return Ok(self.keys.clone());
        };
        Ok(Credentials {
            sha1: Some(derived(Hash::Sha1, &password)?),
            sha256: Some(derived(Hash::Sha256, &password)?),
        })
    }
}

fn derived(hash: Hash, password: &str) -> Result<ScramKeys> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| anyhow!("no random bytes: {error}"))?;
    Ok(scram::derive(hash, password, &salt, ITERATIONS, &()))
}

impl Ids {
    /// Before the first message that waits, all is done.
    fn position(&self) -> Position {
        let before = |id: ArchiveId| match (id.number, id.random) {
            (number, 0) => ArchiveId { number: number.saturating_sub(1), random: u64::MAX },
            (number, random) => ArchiveId { number, random: random - 1 },
        };
        Position { low: self.first_waiting.map(before).or(self.highest), acknowledged: Vec::new() }
    }
}
