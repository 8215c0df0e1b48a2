//! Leases of nodes, and what nodes hear of their sessions (rules 7 and 9). A master that is away holds back only its own accounts.

use std::time::Duration;

use redis::{Cmd, RedisError, Value, from_redis_value};
use starling_ports::Result;
use starling_ports::ids::{Life, NodeId};
use starling_ports::nodes::Nodes;
use starling_ports::sessions::{Counted, Renewal, Renewed, Standing};
use starling_slot::{Context, Slot};
use tokio::time::Instant;

use crate::Sessions;
use crate::cells::Cell;
use crate::connect::Lost;
use crate::error::{Failure, unavailable};
use crate::keys;
use crate::step::Trust;
use crate::sweep::ours;
use crate::together::together;

/// Of how many sessions the records are compared in one call.
const RENEWALS: usize = 500;
/// How many accounts are looked at at once.
const AT_ONCE: usize = 16;

/// What is known of a session by its account's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// Nothing has changed: this is what its owner is told.
    Same(Renewed),
    /// Whoever has it said something.
    Told(Trust),
    /// Whoever has it did not answer.
    Away,
}

impl Sessions {
    /// See `Sessions::renew`. A session whose master, or whose account, cannot be read is not renewed: the node hears that, and of all
    /// others how they stand. None is waited for beyond what a node waits for the answer.
    pub(crate) async fn renew_lease(&self, node: NodeId, sessions: Vec<Renewal>) -> Result<Vec<Renewed>> {
        let until = Instant::now() + self.config.call_timeout.saturating_mul(3) / 2;
        let ((), compared) = tokio::join!(self.say_it_lives(node, &sessions), self.compare_all(&sessions));
        let known = |(renewal, compared): (&Renewal, &Compared)| match compared {
            Compared::Same(renewed) => *renewed,
            Compared::Told(_) | Compared::Away => away(renewal),
        };
        let mut answers: Vec<Renewed> = sessions.iter().zip(&compared).map(known).collect();
        let mut asked: Vec<(&Renewal, Trust, &mut Renewed)> = Vec::new();
        for ((renewal, compared), answer) in sessions.iter().zip(compared).zip(&mut answers) {
            if let Compared::Told(trust) = compared {
                asked.push((renewal, trust, answer));
            }
        }
        for part in asked.chunks_mut(AT_ONCE) {
            let renewing = part.iter().map(|(renewal, trust, _)| self.renew_one(renewal, *trust, until));
            let renewed = together(renewing.collect()).await;
            part.iter_mut().zip(renewed).for_each(|((_, _, answer), renewed)| **answer = renewed);
        }
        if !answers.is_empty() && answers.iter().all(|renewed| renewed.standing == Standing::Away) {
            return Err(unavailable(RedisError::from(std::io::Error::from(
                std::io::ErrorKind::NotConnected,
            ))));
        }
        Ok(answers)
    }

    /// The index of the node is written anew each time: it heals what a sweeper took for over. While the master of the leases is
    /// away nobody sweeps, and when it is back a whole lease is watched first (rule 11): so no session hangs on that.
    async fn say_it_lives(&self, node: NodeId, sessions: &[Renewal]) {
        let (now, _) = self.link.now();
        let name = keys::node(node);
        let accounts: Vec<&str> = sessions.iter().map(|renewal| renewal.account.as_str()).collect();
        let mut commands = vec![Cmd::zadd(keys::NODES, &name, now.after(self.config.lease).0)];
        if !accounts.is_empty() {
            commands.push(Cmd::sadd(keys::accounts_of(&name), accounts));
        }
        let said = self.link.batch_each("lease", &commands, Lost::Tried).await;
        if let Some(failure) = said.failure.or(said.away) {
            tracing::debug!(?failure, "the lease of a node is not renewed");
        }
    }

    /// Of which accounts this router knows the record as it is: all are asked for in a few calls.
    async fn compare_all(&self, sessions: &[Renewal]) -> Vec<Compared> {
        let mut compared = Vec::with_capacity(sessions.len());
        for renewals in sessions.chunks(RENEWALS) {
            let cells: Vec<_> = renewals.iter().map(|renewal| self.cells.get(&renewal.account)).collect();
            let asked: Vec<Cmd> = cells.iter().map(|cell| Cmd::hget(&cell.keys.record, "v")).collect();
            let stamps = self.link.batch_each("compare", &asked, Lost::Tried).await.answers;
            let told = renewals.iter().zip(&cells).zip(stamps);
            compared.extend(told.map(|((renewal, cell), stamp)| self.compare(renewal, cell, stamp)));
        }
        compared
    }

    /// Whether the record is still the one that this router knows. Most have not changed since they were renewed last: of those no step is
    /// made, and none is waited for.
    fn compare(&self, renewal: &Renewal, cell: &Cell, stamp: Option<Value>) -> Compared {
        let Some(stamp) = stamp else { return Compared::Away };
        let held = from_redis_value::<Option<Vec<u8>>>(stamp).ok().flatten();
        let (waits, generation) = (!cell.riders.lock().is_empty(), self.link.generation(&cell.keys.record));
        let state = cell.state.lock();
        let is_same = state.stamp.is_some_and(|known| held.is_some_and(|held| held.starts_with(&known)));
        if !is_same {
            return Compared::Told(Trust::Asked);
        }
        let renewed = state.renewed(renewal).filter(|_| !waits && state.generation == generation);
        renewed.map_or(Compared::Told(Trust::Known), Compared::Same)
    }

    async fn renew_one(&self, renewal: &Renewal, trust: Trust, until: Instant) -> Renewed {
        let renew = |slot: &mut Slot, context: &mut Context<'_>| slot.renew(context.limits, renewal);
        let renewed = self.step(&renewal.account, |_| trust, renew);
        match tokio::time::timeout_at(until, renewed).await {
            Ok(Ok(renewed)) => renewed,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a session is not renewed");
                away(renewal)
            }
            Err(_) => away(renewal),
        }
    }

    /// See `Sessions::count`. Nodes that said nothing for a lease hold nothing.
    pub(crate) async fn count_sessions(&self) -> Result<Counted> {
        let deadlines: Vec<Cmd> = (0..keys::SHARDS).map(|shard| Cmd::zcard(keys::deadlines(shard))).collect();
        let read = |waiting: Value| from_redis_value::<usize>(waiting);
        let waiting: Result<Vec<usize>, _> =
            self.link.batch("count", &deadlines).await.map_err(ours)?.into_iter().map(read).collect();
        let waiting = waiting.map_err(|error| ours(Failure::of(error.into())))?;
        let lives = |ago: &Duration| *ago < self.config.lease;
        let nodes = self.nodes().await?;
        let held: u64 = nodes.iter().filter(|(_, ago)| lives(ago)).map(|(report, _)| report.sessions).sum();
        let mut counted =
            Counted { attached: held as usize, waiting: waiting.iter().sum(), ..Counted::default() };
        self.cells.each(|cell| counted.unacknowledged += cell.state.lock().unacknowledged);
        Ok(counted)
    }
}

/// What its node said of it last still holds, as far as anybody knows.
fn away(renewal: &Renewal) -> Renewed {
    let life = renewal.life.unwrap_or(Life::UNKNOWN);
    Renewed { standing: Standing::Away, life, saved: None }
}
