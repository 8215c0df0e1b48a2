//! The indexes over all accounts. Each is written before what it names: it may name too much, never too little (rule 11).

use std::time::{Duration, Instant};

use redis::Cmd;
use starling_jid::BareJid;
use starling_ports::ids::{NodeId, Timestamp};
use starling_slot::Slot;

use crate::Sessions;
use crate::cells::{Cell, Inner};
use crate::error::Failure;
use crate::keys;

/// How often a router says at most that it may owe something at an account: no commit pays for it.
const OWED_EVERY: Duration = Duration::from_secs(60);

impl Sessions {
    /// Says in the indexes what the slot is about to say.
    pub(crate) async fn index(&self, cell: &Cell, inner: &mut Inner, slot: &Slot) -> Result<(), Failure> {
        let indexed = &mut inner.indexed;
        let mut commands = Vec::new();
        let mut lacks = false;
        let attached = slot.sessions().iter().filter(|session| session.attached);
        let nodes: Vec<NodeId> =
            attached.map(|session| session.node).filter(|node| !indexed.nodes.contains(node)).collect();
        for node in &nodes {
            lacks = true;
            let name = keys::node(*node);
            // A node that dies before it has renewed anything is to be missed too.
            let lease = self.link.now().0.after(self.config.lease).0;
            let mut add = redis::cmd("ZADD");
            add.arg(keys::NODES).arg("NX").arg(lease).arg(&name);
            commands.push(add);
            commands.push(Cmd::sadd(keys::accounts_of(&name), cell.account.as_str()));
        }
        let deadline = slot.next_deadline().filter(|deadline| Some(*deadline) != indexed.deadline);
        if let Some(deadline) = deadline {
            lacks = true;
            commands.push(Cmd::zadd(&cell.keys.deadlines, cell.account.as_str(), deadline.0));
        }
        let owes = slot.owes_since().is_some() || slot.has_changed();
        let says = owes && indexed.owed.is_none_or(|said| said.elapsed() >= OWED_EVERY);
        if says {
            lacks = true;
            commands.push(Cmd::sadd(keys::owed_by(&self.name), cell.account.as_str()));
        }
        if lacks {
            self.link.batch("index", &commands).await?;
            indexed.nodes.extend(nodes);
            indexed.deadline = deadline.or(indexed.deadline);
            indexed.owed = if says { Some(Instant::now()) } else { indexed.owed };
        }
        Ok(())
    }

    /// Accounts of which some session may no longer be resumed, with the times under which they stand there.
    pub(crate) async fn due(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(u64, BareJid, f64)>, Failure> {
        let mut due = Vec::new();
        for shard in 0..keys::SHARDS {
            let mut command = redis::cmd("ZRANGEBYSCORE");
            let key = keys::deadlines(shard);
            command.arg(key).arg("-inf").arg(now.0).arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit);
            let found: Vec<(String, f64)> = self.link.command("due", &command).await?;
            let named = |(name, at): (String, f64)| Some((shard, BareJid::new(&name).ok()?, at));
            due.extend(found.into_iter().filter_map(named));
        }
        Ok(due)
    }

    /// The account has no session that waits so long any more; if it has another, it stands there under its time already.
    pub(crate) async fn not_due(&self, shard: u64, account: &BareJid, at: f64) -> Result<(), Failure> {
        let key = keys::deadlines(shard);
        let live = self.link.live(&key).await?;
        let mut connection = live.connection.clone();
        let mut call = self.scripts.remove_if.key(key);
        call.arg(account.as_str()).arg(format!("{at:.0}"));
        self.link.call::<i64>(&live, "not-due", call.invoke_async(&mut connection)).await.map(drop)
    }
}
