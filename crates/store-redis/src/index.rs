//! The indexes over all accounts. Each is written before what it names: it may name too much, never too little (rule 11).

use std::time::{Duration, Instant};

use redis::Cmd;
use starling_jid::BareJid;
use starling_ports::ids::{NodeId, Timestamp};
use starling_slot::Slot;

use crate::Sessions;
use crate::cells::{Cell, Indexed, Inner};
use crate::connect::Lost;
use crate::error::Failure;
use crate::keys::{self, AccountKeys};

/// How often a router says at most that it may owe something at an account: no commit pays for it.
const OWED_EVERY: Duration = Duration::from_secs(60);

/// What an index is to say of an account.
#[derive(Clone, Copy)]
enum Saying {
    Node(NodeId),
    Deadline(Timestamp),
    Owed,
}

impl Sessions {
    /// Says in the indexes what the slot is about to say. One whose master is away is written when that is back (`index_again`): no
    /// account of another master waits for it.
    pub(crate) async fn index(&self, cell: &Cell, inner: &mut Inner, slot: &Slot) -> Result<(), Failure> {
        let (sayings, commands): (Vec<Saying>, Vec<Cmd>) =
            self.to_say(cell, &inner.indexed, slot).into_iter().unzip();
        if commands.is_empty() {
            inner.indexed.lacks = false;
            return Ok(());
        }
        let said = Box::pin(self.link.batch_each("index", &commands, Lost::LeftAlone)).await;
        if let Some(failure) = said.failure {
            return Err(failure);
        }
        let is_said: Vec<bool> = said.answers.iter().map(Option::is_some).collect();
        note(&mut inner.indexed, &sayings, &is_said);
        Ok(())
    }

    /// What they do not say yet.
    fn to_say(&self, cell: &Cell, indexed: &Indexed, slot: &Slot) -> Vec<(Saying, Cmd)> {
        let mut all = Vec::new();
        let attached = slot.sessions().iter().filter(|session| session.attached);
        for node in attached.map(|session| session.node).filter(|node| !indexed.nodes.contains(node)) {
            let name = keys::node(node);
            // A node that dies before it has renewed anything is to be missed too.
            let lease = self.link.now().0.after(self.config.lease).0;
            let mut add = redis::cmd("ZADD");
            add.arg(keys::NODES).arg("NX").arg(lease).arg(&name);
            all.push((Saying::Node(node), add));
            all.push((Saying::Node(node), Cmd::sadd(keys::accounts_of(&name), cell.account.as_str())));
        }
        if let Some(deadline) = slot.next_deadline().filter(|deadline| Some(*deadline) != indexed.deadline) {
            let add = Cmd::zadd(&cell.keys.deadlines, cell.account.as_str(), deadline.0);
            all.push((Saying::Deadline(deadline), add));
        }
        let owes = slot.owes_since().is_some() || slot.has_changed();
        if owes && indexed.owed.is_none_or(|said| said.elapsed() >= OWED_EVERY) {
            all.push((Saying::Owed, Cmd::sadd(keys::owed_by(&self.name), cell.account.as_str())));
        }
        all
    }

    /// Accounts of which some session may no longer be resumed, with the times under which they stand there. Those whose masters are
    /// away are left out.
    pub(crate) async fn due(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(u64, BareJid, f64)>, Failure> {
        let ask = |shard| {
            let mut command = redis::cmd("ZRANGEBYSCORE");
            let key = keys::deadlines(shard);
            command.arg(key).arg("-inf").arg(now.0).arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit);
            command
        };
        let asked: Vec<Cmd> = (0..keys::SHARDS).map(ask).collect();
        let said = self.link.batch_each("due", &asked, Lost::LeftAlone).await;
        if let Some(failure) = said.failure {
            return Err(failure);
        }
        let mut due = Vec::new();
        for (shard, found) in (0..keys::SHARDS).zip(said.answers) {
            let Some(found) = found else { continue };
            let found: Vec<(String, f64)> =
                redis::from_redis_value(found).map_err(|error| Failure::of(error.into()))?;
            let named = |(name, at): (String, f64)| Some((shard, BareJid::new(&name).ok()?, at));
            due.extend(found.into_iter().filter_map(named).filter(|(_, account, _)| !self.is_away(account)));
        }
        Ok(due)
    }

    /// Whether nothing can be done for the account now: its master was lost.
    pub(crate) fn is_away(&self, account: &BareJid) -> bool {
        self.link.is_away(&AccountKeys::of(account).record)
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

/// What was said; the rest is lacking.
fn note(indexed: &mut Indexed, sayings: &[Saying], is_said: &[bool]) {
    let lacking = |node: NodeId| {
        let of_node = |(saying, is_said): (&Saying, &bool)| matches!(saying, Saying::Node(one) if *one == node && !is_said);
        sayings.iter().zip(is_said).any(of_node)
    };
    indexed.lacks = is_said.iter().any(|is_said| !is_said);
    for (saying, _) in sayings.iter().zip(is_said).filter(|(_, is_said)| **is_said) {
        match *saying {
            Saying::Node(node) if lacking(node) => {}
            Saying::Node(node) => drop(indexed.nodes.insert(node)),
            Saying::Deadline(deadline) => indexed.deadline = Some(deadline),
            Saying::Owed => indexed.owed = Some(Instant::now()),
        }
    }
}
