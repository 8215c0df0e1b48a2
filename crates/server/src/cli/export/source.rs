//! Where an export comes from: the embedded store, or the CQL store of a cluster.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use starling_jid::BareJid;
use starling_ports::accounts::Accounts;
use starling_ports::archive::Archive;
use starling_ports::blocklist::BlockLists;
use starling_ports::documents::Document;
use starling_ports::last_activity::LastActivities;
use starling_ports::position::Positions;
use starling_ports::preferences::PreferenceStore;
use starling_ports::roster::Rosters;
use starling_store_embedded as embedded;
use starling_store_scylla as cql;

use super::super::store::open;
use crate::config::{Config, Mode};

/// The ports that are read.
pub(super) trait Stores:
    Accounts + Archive + BlockLists + LastActivities + Positions + PreferenceStore + Rosters
{
}

impl Stores for embedded::Store {}
impl Stores for cql::Store {}

pub(super) enum Source {
    Embedded(Arc<embedded::Store>),
    Cql(Arc<cql::Store>),
}

impl Source {
    /// An embedded store is refused while a server has it.
    pub(super) async fn open(config: &Config) -> Result<Source> {
        if config.mode == Mode::Cluster {
            return Ok(Source::Cql(cql::Store::connect(&config.scylla).await.context("the CQL store")?));
        }
        let mut config = config.clone();
        // Who only reads erases nothing, however old.
        (config.store.archive_ttl, config.store.spool_ttl) = (Duration::ZERO, Duration::ZERO);
        Ok(Source::Embedded(open(&config)?))
    }

    pub(super) fn close(&self) {
        if let Source::Embedded(store) = self {
            store.close();
        }
    }

    pub(super) fn stores(&self) -> &dyn Stores {
        match self {
            Source::Embedded(store) => &**store,
            Source::Cql(store) => &**store,
        }
    }

    /// All of an account.
    pub(super) async fn documents(&self, owner: &BareJid) -> Result<Vec<(Document, Bytes)>> {
        Ok(match self {
            Source::Embedded(store) => store.documents(owner)?,
            Source::Cql(store) => store.documents(owner).await?,
        })
    }
}
