//! One account, a batch of stanzas: view, plan, commit, store, settle, dispatch.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_jid::BareJid;
use starling_ports::archive::{Archive, Born, Row, Table};
use starling_ports::clock::Clock;
use starling_ports::delivery::Delivery;
use starling_ports::ids::{ArchiveId, Epoch, Handled, SessionId};
use starling_ports::sessions::{CommitReply, Handed, Origin, Outcome, Planned, SenderKey, Sessions, View};
use starling_ports::trace::{Carried, Tracer};
use starling_ports::trail::Trail;
use starling_ports::{Result, StoreError};
use starling_stanza::{Condition, Stanza, StanzaError, Wire};
use tokio_util::sync::CancellationToken;

use crate::Plan;
use crate::metrics::Metrics;
use crate::traced::Traced;

#[cfg(test)]
mod tests;

/// How often a decision is made anew because the view has changed under it.
const MAX_DECISIONS: usize = 32;
/// And for how long: what is owed may be stored so slowly that there is always something that is owed for too long.
const DECIDE_WITHIN: Duration = Duration::from_secs(60);

/// How long a store that did not take a committed row is left alone.
const STORE_AGAIN: Duration = Duration::from_secs(1);
/// How long a lane waits for a store that does not answer before the sender is told to (rule 13): a connection may be lost, a node may
/// come back.
const AWAY_WITHIN: Duration = Duration::from_secs(10);
/// How long a lane waits for it before its socket is dropped without a word (rule 25).
const STORE_WITHIN: Duration = Duration::from_secs(60);

/// A stanza on its way to one account.
#[derive(Debug, Clone)]
pub struct Item {
    /// Which it is; `None` for what the server itself makes.
    pub key: Option<SenderKey>,
    /// Digest of its content, see `Planned::hash`.
    pub hash: u64,
    /// Where it carries an origin-id.
    pub origin: Option<Origin>,
    /// What modules look into; `None` for bytes that are only handed on.
    pub stanza: Option<Stanza>,
    /// Its bytes.
    pub wire: Wire,
    /// Where it is followed.
    pub trace: Carried,
}

impl Item {
    /// A stanza of the server's own: it is not retried.
    pub fn own(stanza: &Stanza) -> Item {
        Item::bytes(stanza.wire())
    }
    /// Bytes that are handed on as they are.
    pub fn bytes(wire: Wire) -> Item {
        Item { key: None, hash: 0, origin: None, stanza: None, wire, trace: None }
    }
}

/// What became of one stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routed {
    /// Committed, now or before; stored; on its way.
    Done {
        /// Its archive id, if it has one.
        id: Option<ArchiveId>,
    },
    /// Nothing was to be done.
    Dropped,
    /// Nothing was done: whoever sends it has its session no more.
    Fenced,
    /// Refused before its commit: the sender gets this error.
    Refused(StanzaError),
}

/// Carries decisions out.
#[derive(Clone)]
pub struct Router {
    pub(crate) sessions: Arc<dyn Sessions>,
    archive: Arc<dyn Archive>,
    pub(crate) delivery: Arc<dyn Delivery>,
    clock: Arc<dyn Clock>,
    trail: Arc<Trail>,
    tracer: Tracer,
    stopping: CancellationToken,
    pub(crate) metrics: Metrics,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Router")
    }
}

/// A place in the batch: settled without a commit, or waiting for its outcome.
enum Place {
    Settled(Routed),
    Planned,
}

impl Router {
    /// On these ports.
    pub fn new(
        sessions: Arc<dyn Sessions>,
        archive: Arc<dyn Archive>,
        delivery: Arc<dyn Delivery>,
        clock: Arc<dyn Clock>,
        tracer: Tracer,
    ) -> Router {
        let (stopping, trail) = (CancellationToken::new(), Arc::new(Trail::new(clock.clone())));
        Router { sessions, archive, delivery, clock, trail, tracer, stopping, metrics: Metrics::new() }
    }

    /// The slots.
    pub fn sessions(&self) -> &Arc<dyn Sessions> {
        &self.sessions
    }

    /// To the sockets.
    pub fn delivery(&self) -> &Arc<dyn Delivery> {
        &self.delivery
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Where spans are made.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// What it has done lately.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// The process is to stop: from now on no lane waits for a store that takes nothing.
    pub fn hurry(&self) {
        self.stopping.cancel();
    }

    /// Routes `items` at `account`, in their order. `decide` looks at the view alone; it runs again when the view was
    /// stale. Returns one result for each. On an error nothing is known of the rest: the same items are to be routed again.
    pub async fn route(
        &self,
        account: &BareJid,
        items: &[Item],
        decide: &(dyn Fn(&View, &Item) -> Plan + Send + Sync),
    ) -> Result<Vec<Routed>> {
        self.route_since(Instant::now(), account, items, None, decide).await
    }

    /// The same for items that came at `came`: where no commit finds out whether a view is an old one, one from since then will do. Where
    /// these are the last of a batch, `handled` of the session that sent it is saved in the same step, if none of them is refused,
    /// so that it costs none of its own.
    pub async fn route_since(
        &self,
        came: Instant,
        account: &BareJid,
        items: &[Item],
        handled: Option<(SessionId, Epoch, Handled)>,
        decide: &(dyn Fn(&View, &Item) -> Plan + Send + Sync),
    ) -> Result<Vec<Routed>> {
        let mut routed = Vec::with_capacity(items.len());
        if items.is_empty() {
            return Ok(routed);
        }
        let begun = Instant::now();
        let mut view = self.sessions.known_view(account, Duration::MAX).await?;
        let (mut decisions, mut since, mut is_known_only) = (0, begun, self.sessions.is_shared());
        while let Some(rest) = items.get(routed.len()..).filter(|rest| !rest.is_empty()) {
            let (places, planned) = plan(&view, rest, decide);
            let is_refused = places.iter().any(Place::is_refused);
            let handled = handled.filter(|_| !is_refused);
            let commits = !planned.is_empty() || handled.is_some();
            if std::mem::take(&mut is_known_only) && (is_refused || !commits) {
                let recent = self.sessions.known_view(account, came.elapsed()).await?;
                if !Arc::ptr_eq(&view, &recent) {
                    view = recent;
                    continue;
                }
            }
            if !commits {
                routed.extend(places.into_iter().filter_map(Place::settled));
                break;
            }
            decisions += 1;
            let is_empty = planned.is_empty();
            let keeps_first = planned.first().is_some_and(|planned| planned.keep.is_some());
            match self.sessions.commit(account, view.version, planned, handled).await? {
                CommitReply::Done(outcomes) if is_empty || !outcomes.is_empty() => {
                    self.metrics.hit.increment(1);
                    let before = routed.len();
                    if !self.carry_out(account, rest, places, outcomes, &mut routed).await? {
                        routed.truncate(before); // what is still there is answered, and what is not is committed anew
                    }
                    (decisions, since) = (0, Instant::now());
                    if routed.len() < items.len() {
                        view = self.sessions.known_view(account, Duration::MAX).await?; // with what was taken now
                        is_known_only = self.sessions.is_shared();
                    }
                }
                CommitReply::Stale(newer) if decisions < MAX_DECISIONS && since.elapsed() < DECIDE_WITHIN => {
                    self.metrics.stale.increment(1);
                    view = newer;
                }
                CommitReply::Away(error) if since.elapsed() < AWAY_WITHIN => {
                    let pause = self.stopping.run_until_cancelled(tokio::time::sleep(STORE_AGAIN));
                    Box::pin(pause).await.ok_or(error)?; // nothing is refused because this process stops: another one is asked
                    view = self.sessions.view(account).await?;
                }
                CommitReply::Wait if !keeps_first => {
                    (decisions, since) = (0, Instant::now());
                    routed.extend(refused_first(places)); // a log is full (rule 20): what can be kept behind it is kept
                }
                CommitReply::Done(_) | CommitReply::Stale(_) | CommitReply::Wait | CommitReply::Away(_) => {
                    routed.extend(places.into_iter().map(|place| place.settled().unwrap_or_else(busy)));
                }
            }
        }
        self.metrics.route.record(begun.elapsed());
        Ok(routed)
    }

    /// Stores what was committed, then pushes it; `false`: something of it is gone. Places beyond the prefix that the commit took are left for the next round.
    async fn carry_out(
        &self,
        account: &BareJid,
        items: &[Item],
        places: Vec<Place>,
        outcomes: Vec<Outcome>,
        routed: &mut Vec<Routed>,
    ) -> Result<bool> {
        let (mut pushes, mut traced) = (Vec::new(), Traced::default());
        let (mut archived, mut spooled) = (Vec::new(), Vec::new());
        let mut outcomes = outcomes.into_iter();
        for (place, item) in places.into_iter().zip(items) {
            match place {
                Place::Settled(result) => routed.push(result),
                Place::Planned => {
                    let Some(outcome) = outcomes.next() else { break };
                    let (id, row, handed) = match outcome {
                        Outcome::Done { id, row, handed } | Outcome::Seen { id, row, handed } => {
                            (id, row, handed)
                        }
                        Outcome::Fenced => {
                            routed.push(Routed::Fenced);
                            continue;
                        }
                    };
                    match row {
                        Some((Table::Archive, row)) => archived.push(row),
                        Some((Table::Spool, row)) => spooled.push(row),
                        None => {}
                    }
                    let first = pushes.len();
                    pushes.extend(handed);
                    if let Some(context) = &item.trace {
                        traced.note(first..pushes.len(), context);
                    }
                    routed.push(Routed::Done { id });
                }
            }
        }
        let committed: Vec<_> = archived.iter().chain(&spooled).map(|row| (row.id, row.born)).collect();
        let storing = traced.storing(&self.tracer, committed.len());
        self.store(account, Table::Archive, archived).await?;
        self.store(account, Table::Spool, spooled).await?;
        drop(storing);
        if self.undo(account, &committed).await? {
            return Ok(false);
        }
        self.push_traced(account, pushes, &traced);
        Ok(true)
    }

    /// Rule 8: where the sessions' store has come back without what was committed, the rows of that go: it is to be committed
    /// anew. Says whether there was any.
    pub async fn undo(&self, account: &BareJid, committed: &[(ArchiveId, Born)]) -> Result<bool> {
        if committed.is_empty() {
            return Ok(false);
        }
        let gone = self.sessions.gone(account, committed).await?;
        if gone.is_empty() {
            return Ok(false);
        }
        tracing::warn!(rows = gone.len(), "sessions came back without what was committed; it is done anew");
        for table in [Table::Archive, Table::Spool] {
            self.archive.delete(table, account, &gone).await?;
        }
        Ok(true)
    }

    async fn store(&self, account: &BareJid, table: Table, rows: Vec<Row>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let ids: Vec<ArchiveId> = rows.iter().map(|row| row.id).collect();
        match self.archive.put(table, account, rows).await {
            Ok(()) => _ = self.sessions.settle(account, &ids, None).await?,
            Err(error) => Box::pin(self.store_later(account, error)).await?,
        }
        self.trail.stored(account, ids);
        Ok(())
    }

    /// What is committed is stored however late (rule 13), and nothing later of this lane is done before (rule 1). When
    /// the store takes nothing for too long, the rows are left to the sweep, and the sender's connection is dropped:
    /// nothing of it was acknowledged.
    async fn store_later(&self, account: &BareJid, mut error: StoreError) -> Result<()> {
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < STORE_WITHIN && matches!(error, StoreError::Unavailable { .. }) {
            tracing::debug!(%error, "a committed row is not stored yet");
            let is_last = self.stopping.run_until_cancelled(tokio::time::sleep(STORE_AGAIN)).await.is_none();
            match self.sessions.store_owed(account).await {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
            if is_last {
                break;
            }
        }
        Err(error)
    }

    /// Pushes entries that were handed out to the nodes that hold their sessions.
    pub fn push(&self, account: &BareJid, handed: Vec<Handed>) {
        self.push_traced(account, handed, &Traced::default());
    }

    fn push_traced(&self, account: &BareJid, handed: Vec<Handed>, traced: &Traced) {
        if !handed.is_empty() {
            self.metrics.delivered(false, self.clock.now(), handed.iter().map(|one| &one.entry));
            crate::dispatch::push(&*self.delivery, account, handed, traced);
        }
    }
}

impl Place {
    fn is_refused(&self) -> bool {
        matches!(self, Place::Settled(Routed::Refused(_)))
    }
    fn settled(self) -> Option<Routed> {
        match self {
            Place::Settled(routed) => Some(routed),
            Place::Planned => None,
        }
    }
}

fn busy() -> Routed {
    Routed::Refused(StanzaError::wait(Condition::ResourceConstraint))
}

/// What comes of the places up to the first that was planned, which is refused.
fn refused_first(places: Vec<Place>) -> Vec<Routed> {
    let first = places.iter().position(|place| matches!(place, Place::Planned));
    let upto = first.map_or(places.len(), |first| first + 1);
    places.into_iter().take(upto).map(|place| place.settled().unwrap_or_else(busy)).collect()
}

fn plan(
    view: &View,
    items: &[Item],
    decide: &(dyn Fn(&View, &Item) -> Plan + Send + Sync),
) -> (Vec<Place>, Vec<Planned>) {
    let mut places = Vec::with_capacity(items.len());
    let mut planned = Vec::with_capacity(items.len());
    let mut view = Cow::Borrowed(view);
    for (at, item) in items.iter().enumerate() {
        let plan = decide(&view, item);
        if plan.has_effect() {
            if let Some(keep) = plan.keep.as_ref().filter(|_| at + 1 < items.len()) {
                view.to_mut().count(keep, item.wire.len()); // the next of the batch comes behind it
            }
            places.push(Place::Planned);
            planned.push(Planned {
                key: item.key,
                hash: item.hash,
                origin: item.origin.clone(),
                wire: item.wire.clone(),
                keep: plan.keep,
                targets: plan.targets,
                urgent: plan.urgent,
                coalesce: plan.coalesce,
            });
        } else {
            places.push(Place::Settled(plan.refusal.map_or(Routed::Dropped, Routed::Refused)));
        }
    }
    (places, planned)
}
