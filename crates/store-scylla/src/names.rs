//! The names of all accounts, in their order: a few partitions, each sorted, merged by the reader.

use std::collections::VecDeque;

use starling_jid::BareJid;
use starling_ports::Result;
use xxhash_rust::xxh3::xxh3_64;

use crate::client::Place;
use crate::store::Store;
use crate::values::bare;

const WHAT: &str = "the name of an account";
/// 10 million names make partitions of about 40 MB.
const SHARDS: u64 = 16;
/// How many names are checked at once for whether there is such an account.
const CHECKED: usize = 50;

fn shard(name: &str) -> i32 {
    (xxh3_64(name.as_bytes()) % SHARDS) as i32
}

impl Store {
    pub(crate) async fn add_name(&self, jid: &BareJid, stamp: i64) -> Result<()> {
        let name = jid.as_str();
        self.client.write(&self.client.statements.names.add, (shard(name), name, stamp)).await
    }

    pub(crate) async fn remove_name(&self, jid: &BareJid, stamp: i64) -> Result<()> {
        let name = jid.as_str();
        self.client.write(&self.client.statements.names.remove, (stamp, shard(name), name)).await
    }

    /// At most `limit` names after `after` that have an account.
    pub(crate) async fn names_after(&self, after: Option<&BareJid>, limit: usize) -> Result<Vec<BareJid>> {
        let mut merge = Merge::from(after.map_or("", |after| after.as_str()), limit);
        let mut names = Vec::new();
        while names.len() < limit {
            let mut some = Vec::new();
            while some.len() < CHECKED.min(limit - names.len()) {
                let Some(name) = merge.next(self).await? else { break };
                some.push(name);
            }
            if some.is_empty() {
                break;
            }
            let alive = self.alive(&some).await?;
            for name in some.iter().filter(|name| alive.contains(*name)) {
                names.push(bare(name, WHAT).map_err(|_| {
                    let statement = &self.client.statements.names.after;
                    self.client.corrupt(WHAT, Place::of(statement, &(shard(name), name, 1)))
                })?);
            }
        }
        Ok(names)
    }
}

/// One partition: the names read and not given yet.
struct Shard {
    number: i32,
    names: VecDeque<String>,
    after: String,
    has_more: bool,
}

/// All partitions as one order. Reads little more than it gives: each partition has about its share.
struct Merge {
    shards: Vec<Shard>,
    step: i32,
}

impl Merge {
    fn from(after: &str, limit: usize) -> Merge {
        let new = |number| Shard { number, names: VecDeque::new(), after: after.to_owned(), has_more: true };
        let share = limit / SHARDS as usize;
        let step = i32::try_from(share + share / 2 + 2).unwrap_or(i32::MAX).min(1000);
        Merge { shards: (0..SHARDS as i32).map(new).collect(), step }
    }

    async fn next(&mut self, store: &Store) -> Result<Option<String>> {
        for shard in &mut self.shards {
            shard.refill(store, self.step).await?;
        }
        let lowest = self.shards.iter_mut().filter(|shard| !shard.names.is_empty());
        Ok(lowest
            .min_by(|a, b| a.names.front().cmp(&b.names.front()))
            .and_then(|shard| shard.names.pop_front()))
    }
}

impl Shard {
    async fn refill(&mut self, store: &Store, step: i32) -> Result<()> {
        if !self.names.is_empty() || !self.has_more {
            return Ok(());
        }
        let values = (self.number, self.after.as_str(), step);
        let found = store.client.read(&store.client.statements.names.after, values).await?;
        for row in found.rows::<(String,)>() {
            let (name,) = row.ok_or(()).map_err(|()| store.client.corrupt(WHAT, found.place()))?;
            self.names.push_back(name);
        }
        self.has_more = usize::try_from(step).is_ok_and(|step| self.names.len() == step);
        if let Some(last) = self.names.back() {
            self.after.clone_from(last);
        }
        Ok(())
    }
}
