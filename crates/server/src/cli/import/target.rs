//! Where an import goes: the embedded store, or the stores of a cluster. What is there already is not written again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use starling_jid::{BareJid, Jid};
use starling_ports::accounts::{Account, Accounts, Credentials};
use starling_ports::archive::{Archive, Row, Table};
use starling_ports::blocklist::BlockLists;
use starling_ports::clock::SystemClock;
use starling_ports::documents::{Document, Documents};
use starling_ports::ids::{NodeId, Timestamp};
use starling_ports::last_activity::{LastActivities, LastActivity};
use starling_ports::position::{Position, Positions};
use starling_ports::preferences::{PreferenceStore, Preferences};
use starling_ports::roster::{Contact, Edit, Rosters, Written};
use starling_store_embedded as embedded;
use starling_store_scylla as cql;

use super::super::copy::stores_of_a_cluster_that_has_not_run;
use super::data::merged;
use crate::config::{Config, Mode};

/// Contacts of one write: a CQL server refuses what is too big.
const CONTACTS: usize = 100;

/// The ports that are written to.
trait Stores:
    Accounts + Archive + BlockLists + Documents + LastActivities + Positions + PreferenceStore + Rosters
{
}

impl Stores for embedded::Store {}
impl Stores for cql::Store {}

pub(super) struct Target {
    stores: Arc<dyn Stores>,
    embedded: Option<Arc<embedded::Store>>,
}

impl Target {
    /// Nobody else may be at work there. A store is made where there is none, unless it is only looked at: then `None`.
    pub(super) async fn open(config: &Config, only_look: bool) -> Result<Option<Target>> {
        if config.mode == Mode::Cluster {
            let stores = stores_of_a_cluster_that_has_not_run(config, "imported", "import").await?;
            return Ok(Some(Target { stores, embedded: None }));
        }
        // Nothing is erased before its owner has seen how much that is.
        let store =
            embedded::Config { archive_ttl: Duration::ZERO, spool_ttl: Duration::ZERO, ..config.store() };
        if only_look && !store.data_dir.join("store/format").is_file() {
            return Ok(None);
        }
        let store = embedded::Store::open(&store, Arc::new(SystemClock), NodeId::default())?;
        Ok(Some(Target { stores: store.clone(), embedded: Some(store) }))
    }

    pub(super) fn close(&self) {
        if let Some(store) = &self.embedded {
            store.close();
        }
    }

    pub(super) async fn account(&self, owner: &BareJid) -> Result<Option<Account>> {
        Ok(Accounts::get(&*self.stores, owner).await?)
    }

    /// Without keys: nobody signs in before all is there.
    pub(super) async fn create(&self, owner: &BareJid, now: Timestamp) -> Result<()> {
        self.stores.create(owner, Credentials::default(), now).await?;
        Ok(())
    }

    pub(super) async fn set_keys(&self, owner: &BareJid, keys: Credentials) -> Result<()> {
        ensure!(self.stores.set_credentials(owner, keys).await?, "the account was removed meanwhile");
        Ok(())
    }

    /// Before it has keys.
    pub(super) async fn suspend(&self, owner: &BareJid) -> Result<()> {
        ensure!(self.stores.set_suspended(owner, true).await?, "the account was removed meanwhile");
        Ok(())
    }

    pub(super) async fn put_last(&self, owner: &BareJid, last: LastActivity) -> Result<()> {
        Ok(LastActivities::put(&*self.stores, owner, last).await?)
    }

    pub(super) async fn put_rows(&self, table: Table, owner: &BareJid, rows: Vec<Row>) -> Result<()> {
        Ok(Archive::put(&*self.stores, table, owner, rows).await?)
    }

    pub(super) async fn save_position(&self, owner: &BareJid, position: Position) -> Result<()> {
        if Positions::get(&*self.stores, owner).await? != position {
            Positions::save(&*self.stores, owner, position).await?;
        }
        Ok(())
    }

    pub(super) async fn put_contacts(&self, owner: &BareJid, contacts: &[Contact]) -> Result<()> {
        for some in contacts.chunks(CONTACTS) {
            let roster = Rosters::get(&*self.stores, owner).await?;
            let edit = |new: &Contact| {
                let known = roster.contact(&new.jid);
                let merged = merged(known, new.clone());
                let is_new =
                    known.is_none_or(|known| Contact { version: known.version, ..merged.clone() } != *known);
                is_new.then_some(Edit::Put(merged))
            };
            let edits: Vec<Edit> = some.iter().filter_map(edit).collect();
            if !edits.is_empty() {
                let written = Rosters::write(&*self.stores, owner, roster.version, edits).await?;
                ensure!(matches!(written, Written::Done(_)), "somebody else writes to the roster");
            }
        }
        Ok(())
    }

    pub(super) async fn put_document(&self, owner: &BareJid, document: &Document, xml: Bytes) -> Result<()> {
        if Documents::get(&*self.stores, owner, document).await?.as_ref() != Some(&xml) {
            Documents::put(&*self.stores, owner, document, xml).await?;
        }
        Ok(())
    }

    /// A vCard, unless there is one.
    pub(super) async fn put_card(&self, owner: &BareJid, card: Bytes) -> Result<()> {
        if Documents::get(&*self.stores, owner, &Document::Vcard).await?.is_none() {
            Documents::put(&*self.stores, owner, &Document::Vcard, card).await?;
        }
        Ok(())
    }

    pub(super) async fn block(&self, owner: &BareJid, jids: Vec<Jid>) -> Result<()> {
        let mut list = BlockLists::get(&*self.stores, owner).await?;
        let before = list.clone();
        list.items.extend(jids);
        list.items.sort();
        list.items.dedup();
        if list != before {
            BlockLists::put(&*self.stores, owner, list).await?;
        }
        Ok(())
    }

    pub(super) async fn put_preferences(&self, owner: &BareJid, preferences: Preferences) -> Result<()> {
        if PreferenceStore::get(&*self.stores, owner).await?.as_ref() != Some(&preferences) {
            PreferenceStore::put(&*self.stores, owner, preferences).await?;
        }
        Ok(())
    }
}
