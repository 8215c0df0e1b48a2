//! Listing sessions for an administrator: page by page of the indexes, so that it costs what it shows.

use std::collections::{BTreeSet, HashSet};

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::sessions::SessionInfo;

use crate::error::Failure;
use crate::step::Trust;
use crate::sweep::ours;
use crate::{Sessions, keys};

/// About so many names come at once.
const PAGE: usize = 500;

/// An index that names accounts which may have a session: a set, or one sorted by time.
enum Index {
    Set(String),
    Sorted(String),
}

impl Sessions {
    /// Sessions of all accounts, until there are `limit`. Nothing is kept of what lies beyond.
    pub(crate) async fn list_all(&self, limit: usize) -> Result<Vec<SessionInfo>> {
        let (mut infos, mut looked_at) = (Vec::new(), HashSet::new());
        for index in self.indexes().await.map_err(ours)? {
            let mut cursor = 0;
            loop {
                let (next, names) = self.names(&index, cursor).await.map_err(ours)?;
                for account in names.iter().filter_map(|name| BareJid::new(name).ok()) {
                    if infos.len() >= limit {
                        return Ok(infos);
                    }
                    if looked_at.insert(account.clone()) {
                        infos.extend(self.list_one(&account).await?);
                    }
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(infos)
    }

    /// As Redis has them now.
    pub(crate) async fn list_one(&self, account: &BareJid) -> Result<Vec<SessionInfo>> {
        self.step(account, |_| Trust::Asked, |slot, _| slot.infos()).await
    }

    /// Accounts of each node, and those of which somebody waits to be resumed.
    async fn indexes(&self) -> Result<Vec<Index>, Failure> {
        let mut nodes = redis::cmd("ZRANGE");
        nodes.arg(keys::NODES).arg(0).arg(-1);
        let mut nodes: BTreeSet<String> =
            self.link.command::<Vec<String>>("list", &nodes).await?.into_iter().collect();
        self.cells.each(|cell| {
            if let Ok(inner) = cell.inner.try_lock() {
                nodes.extend(inner.indexed.nodes.iter().map(|node| keys::node(*node)));
            }
        });
        let of_nodes = nodes.iter().map(|node| Index::Set(keys::accounts_of(node)));
        let of_deadlines = (0..keys::SHARDS).map(|shard| Index::Sorted(keys::deadlines(shard)));
        Ok(of_nodes.chain(of_deadlines).collect())
    }

    /// Some names, and where the next ones are; 0 when there are no more.
    async fn names(&self, index: &Index, cursor: u64) -> Result<(u64, Vec<String>), Failure> {
        let (command, key) = match index {
            Index::Set(key) => ("SSCAN", key),
            Index::Sorted(key) => ("ZSCAN", key),
        };
        let mut scan = redis::cmd(command);
        scan.arg(key).arg(cursor).arg("COUNT").arg(PAGE);
        let (next, mut found): (u64, Vec<String>) = self.link.command("list", &scan).await?;
        if matches!(index, Index::Sorted(_)) {
            // Each name is followed by its time.
            found = found.into_iter().step_by(2).collect();
        }
        Ok((next, found))
    }
}
