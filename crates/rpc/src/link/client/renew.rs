//! Says every few seconds which sessions this node holds, and acts on what it hears (session-log rules 7 and 9).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use starling_ports::StoreError;
use starling_ports::delivery::Command;
use starling_ports::ids::{Epoch, SessionId};
use starling_ports::ingress::Ingress;
use starling_ports::nodes::NodeReport;
use starling_ports::sessions::{Renewal, Renewed, Standing};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::lane::Lane;
use super::{Unanswered, Uplinks};
use crate::convert::Call;

/// How often.
const EVERY: Duration = Duration::from_secs(5);
/// How long a session is this node's after it was renewed. Later another node may have it, and this one lets go.
const LEASE: Duration = Duration::from_secs(15);
/// How long routers may say that no store answers: nobody else can take the sessions meanwhile (session-log rule 25).
const OUTAGE: Duration = Duration::from_secs(60);
/// Sessions of one call.
const AT_ONCE: usize = 512;
/// How long one call may take.
const WITHIN: Duration = Duration::from_secs(4);

/// When a session was last heard of.
#[derive(Debug, Clone, Copy)]
struct Lease {
    epoch: Epoch,
    /// It was renewed.
    renewed: Instant,
    /// Some router answered, if only that its store did not.
    heard: Instant,
}

/// What came of a batch.
enum Outcome {
    Renewed(Vec<Renewed>),
    /// A router answered, no store.
    NoStore,
    Silence,
}

/// Who is asked.
#[derive(Clone)]
enum By {
    Local(Arc<dyn Ingress>),
    Link(Arc<Lane>),
}

/// Runs until the links stop. Where `local` is given it is asked, and no link.
pub(super) async fn run(uplinks: Arc<Uplinks>, local: Option<Arc<dyn Ingress>>) {
    let mut leases: HashMap<SessionId, Lease> = HashMap::new();
    let mut clock = tokio::time::interval(EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = Instant::now();
    loop {
        tokio::select! {
            () = uplinks.stop.cancelled() => return,
            () = uplinks.lost.notified() => {} // what a lost link would have pushed is found at once
            _ = clock.tick() => {}
        }
        let begun = Instant::now();
        let holdings = uplinks.holder.holdings();
        leases = carried_on(&leases, &holdings, before);
        round(&uplinks, local.as_ref(), holdings.clone(), &mut leases, begun).await;
        let_go(&uplinks, &holdings, &leases);
        before = begun;
    }
}

/// The leases of what is held now. One that is new was bound or claimed since the last round: it began no earlier.
fn carried_on(
    leases: &HashMap<SessionId, Lease>,
    holdings: &[Renewal],
    before: Instant,
) -> HashMap<SessionId, Lease> {
    let lease = |held: &Renewal| {
        let known = leases.get(&held.session).filter(|lease| lease.epoch == held.epoch);
        known.copied().unwrap_or(Lease { epoch: held.epoch, renewed: before, heard: before })
    };
    holdings.iter().map(|held| (held.session, lease(held))).collect()
}

async fn round(
    uplinks: &Arc<Uplinks>,
    local: Option<&Arc<dyn Ingress>>,
    holdings: Vec<Renewal>,
    leases: &mut HashMap<SessionId, Lease>,
    begun: Instant,
) {
    let mut asked = JoinSet::new();
    let mut report = Some(NodeReport { links: uplinks.count() as u64, ..(uplinks.report)() });
    for (by, sessions) in groups(uplinks, local, holdings) {
        let (uplinks, mut report) = (uplinks.clone(), report.take());
        // Born in the set, which is awaited here.
        asked.spawn(async move {
            let mut done = Vec::new();
            let batches = sessions.chunks(AT_ONCE);
            let none: &[Renewal] = &[]; // a node without sessions says that it is there
            let speaks = sessions.is_empty() && matches!(by, By::Link(_));
            for batch in batches.chain(speaks.then_some(none)) {
                let outcome = ask(&uplinks, &by, batch, report.take()).await;
                let is_silent = matches!(outcome, Outcome::Silence);
                done.push((batch.to_vec(), outcome));
                if is_silent {
                    break; // the next round asks somebody else
                }
            }
            done
        });
    }
    while let Some(done) = asked.join_next().await {
        for (batch, outcome) in done.unwrap_or_default() {
            take(uplinks, &batch, &outcome, leases, begun);
        }
    }
}

/// Each router's own sessions.
fn groups(
    uplinks: &Uplinks,
    local: Option<&Arc<dyn Ingress>>,
    holdings: Vec<Renewal>,
) -> Vec<(By, Vec<Renewal>)> {
    if let Some(local) = local {
        return vec![(By::Local(local.clone()), holdings)];
    }
    let mut groups: HashMap<u64, (By, Vec<Renewal>)> = HashMap::new();
    for held in holdings {
        let Some(lane) = uplinks.routers.of(&held.account) else { continue };
        groups.entry(lane.router.name).or_insert_with(|| (By::Link(lane), Vec::new())).1.push(held);
    }
    if groups.is_empty() {
        let first = uplinks.routers.all().first().cloned();
        return first.into_iter().map(|lane| (By::Link(lane), Vec::new())).collect();
    }
    groups.into_values().collect()
}

async fn ask(uplinks: &Uplinks, by: &By, batch: &[Renewal], report: Option<NodeReport>) -> Outcome {
    let answered = match by {
        By::Local(ingress) => match timeout(WITHIN, ingress.renew(uplinks.node, batch.to_vec())).await {
            Ok(answered) => answered,
            Err(_) => return Outcome::NoStore,
        },
        By::Link(lane) => {
            let reply = lane.call(uplinks.call_id(), Call::renew(batch, report.as_ref()), WITHIN).await;
            match reply.and_then(|reply| reply.renewed().map_err(Unanswered::from)) {
                Ok(answered) => answered,
                Err(error) => {
                    debug!(%error, "a renewal was not answered");
                    return Outcome::Silence;
                }
            }
        }
    };
    match answered {
        Ok(renewed) if renewed.len() == batch.len() => Outcome::Renewed(renewed),
        Ok(_) => Outcome::Silence,
        Err(error @ (StoreError::Unavailable { .. } | StoreError::Corrupt { .. })) => {
            debug!(%error, "sessions were not renewed");
            Outcome::NoStore
        }
    }
}

fn take(
    uplinks: &Uplinks,
    batch: &[Renewal],
    outcome: &Outcome,
    leases: &mut HashMap<SessionId, Lease>,
    begun: Instant,
) {
    for (at, held) in batch.iter().enumerate() {
        let Some(lease) = leases.get_mut(&held.session) else { continue };
        match outcome {
            Outcome::Silence => {}
            Outcome::NoStore => lease.heard = begun,
            Outcome::Renewed(renewed) => {
                let Some(renewed) = renewed.get(at) else { continue };
                lease.heard = begun;
                if renewed.standing != Standing::Away {
                    lease.renewed = begun;
                }
                uplinks.holder.renewed(uplinks.node, held.session, held.epoch, renewed);
            }
        }
    }
}

/// Sessions that may be another node's by now: their sockets are dropped without a word.
fn let_go(uplinks: &Uplinks, holdings: &[Renewal], leases: &HashMap<SessionId, Lease>) {
    let mut lapsed = 0;
    for held in holdings {
        let is_over = leases.get(&held.session).is_some_and(|lease| {
            lease.epoch == held.epoch && (lease.heard.elapsed() > LEASE || lease.renewed.elapsed() > OUTAGE)
        });
        if is_over {
            let _ = uplinks.holder.command(uplinks.node, held.session, held.epoch, Command::Fenced);
            lapsed += 1;
        }
    }
    if lapsed > 0 {
        uplinks.metrics.lapsed.increment(lapsed);
        warn!(sessions = lapsed, "no router renewed sessions for a whole lease: their sockets are dropped");
    }
}
