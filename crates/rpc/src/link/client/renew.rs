//! Says every few seconds which sessions this node holds, and acts on what it hears (session-log rules 7 and 9).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use starling_ports::StoreError;
use starling_ports::delivery::Command;
use starling_ports::ingress::Ingress;
use starling_ports::nodes::NodeReport;
use starling_ports::sessions::{Renewal, Renewed};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::lane::Lane;
use super::leases::{EVERY, Leases};
use super::{Unanswered, Uplinks};
use crate::convert::Call;

#[cfg(test)]
mod tests;

/// Sessions of one call.
const AT_ONCE: usize = 512;
/// Calls with sessions that one router has at once.
const CALLS: usize = 4;
/// How long one call may take. What it renews counts from its beginning, so it is still worth something then.
const WITHIN: Duration = Duration::from_secs(9);

/// What came of a call.
pub(super) enum Outcome {
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

/// Whose they are, and the sessions that are to be renewed there, the first at the end.
struct Group {
    by: By,
    left: Vec<Renewal>,
}

/// A call that is done.
struct Done {
    router: u64,
    batch: Vec<Renewal>,
    outcome: Outcome,
    begun: Instant,
}

/// Runs until the links stop. Where `local` is given it is asked, and no link. A router that is slow with some sessions holds up neither
/// the others nor the news of which are over.
pub(super) async fn run(uplinks: Arc<Uplinks>, local: Option<Arc<dyn Ingress>>) {
    let (mut clock, mut asked) = (tokio::time::interval(EVERY), JoinSet::new());
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut renewing =
        Renewing { leases: Leases::new(Instant::now()), groups: HashMap::new(), under_way: HashMap::new() };
    loop {
        tokio::select! {
            () = uplinks.stop.cancelled() => return,
            () = uplinks.lost.notified() => {
                renewing.leases.lose(Instant::now());
                renewing.look(&uplinks, local.as_ref());
            }
            _ = clock.tick() => {
                renewing.look(&uplinks, local.as_ref());
                renewing.let_go(&uplinks);
                say_it_lives(&uplinks, local.as_ref(), &mut asked);
            }
            Some(Ok(done)) = asked.join_next() => {
                if renewing.take(&uplinks, done) {
                    renewing.look(&uplinks, local.as_ref());
                }
            }
        }
        renewing.go_on(&uplinks, &mut asked);
    }
}

struct Renewing {
    leases: Leases,
    /// By the names of their routers.
    groups: HashMap<u64, Group>,
    /// How many calls with sessions each router has.
    under_way: HashMap<u64, usize>,
}

impl Renewing {
    /// What is held now, and what of it is to be renewed by whom.
    fn look(&mut self, uplinks: &Uplinks, local: Option<&Arc<dyn Ingress>>) {
        let (holdings, now) = (uplinks.holder.holdings(), Instant::now());
        self.leases.look(&holdings, now);
        let due = self.leases.due(holdings, now);
        self.groups.clear();
        for held in due.into_iter().rev() {
            let by = match local {
                Some(local) => Some(By::Local(local.clone())),
                None => uplinks.routers.of(&held.account).map(By::Link),
            };
            let Some(by) = by else { continue };
            let group = self.groups.entry(by.router()).or_insert_with(|| Group { by, left: Vec::new() });
            group.left.push(held);
        }
    }

    /// Whatever a router has time for.
    fn go_on(&mut self, uplinks: &Arc<Uplinks>, asked: &mut JoinSet<Done>) {
        for (router, group) in &mut self.groups {
            let under_way = self.under_way.entry(*router).or_default();
            while *under_way < CALLS && !group.left.is_empty() {
                let mut batch = group.left.split_off(group.left.len().saturating_sub(AT_ONCE));
                batch.reverse();
                self.leases.begin(&batch, Instant::now());
                *under_way += 1;
                begin(asked, uplinks, group.by.clone(), batch, None);
            }
        }
    }

    /// Says whether its sessions are to be asked for again, at once.
    fn take(&mut self, uplinks: &Uplinks, Done { router, batch, outcome, begun }: Done) -> bool {
        if !batch.is_empty()
            && let Some(under_way) = self.under_way.get_mut(&router)
        {
            *under_way = under_way.saturating_sub(1);
        }
        self.leases.end(&batch, &outcome, begun);
        if let Outcome::Renewed(renewed) = outcome {
            for (held, renewed) in batch.iter().zip(&renewed) {
                uplinks.holder.renewed(uplinks.node, held.session, held.epoch, renewed);
            }
        }
        !batch.is_empty() && self.leases.is_before_loss(begun)
    }

    /// Sessions that may be another node's by now: their sockets are dropped without a word.
    fn let_go(&self, uplinks: &Uplinks) {
        let over = self.leases.over(Instant::now());
        for (session, epoch) in &over {
            let _ = uplinks.holder.command(uplinks.node, *session, *epoch, Command::Fenced);
        }
        if !over.is_empty() {
            uplinks.metrics.lapsed.increment(over.len() as u64);
            warn!(
                sessions = over.len(),
                "no router renewed sessions for a whole lease: their sockets are dropped"
            );
        }
    }
}

impl By {
    /// Its name; a process that is a router asks nobody else.
    fn router(&self) -> u64 {
        match self {
            By::Local(_) => 0,
            By::Link(lane) => lane.router.name,
        }
    }
}

/// Each router is told that this node is there, one of them with its report: as long as any of them has time for so little, nobody takes
/// the sessions for left.
fn say_it_lives(uplinks: &Arc<Uplinks>, local: Option<&Arc<dyn Ingress>>, asked: &mut JoinSet<Done>) {
    if let Some(local) = local {
        return begin(asked, uplinks, By::Local(local.clone()), Vec::new(), None);
    }
    let mut report = Some(NodeReport { links: uplinks.count() as u64, ..(uplinks.report)() });
    for lane in uplinks.routers.all().iter() {
        begin(asked, uplinks, By::Link(lane.clone()), Vec::new(), report.take());
    }
}

/// Makes a call; born in the set, which is awaited in `run`.
fn begin(
    asked: &mut JoinSet<Done>,
    uplinks: &Arc<Uplinks>,
    by: By,
    batch: Vec<Renewal>,
    report: Option<NodeReport>,
) {
    let (uplinks, begun) = (uplinks.clone(), Instant::now());
    asked.spawn(async move {
        let outcome = ask(&uplinks, &by, &batch, report).await;
        Done { router: by.router(), batch, outcome, begun }
    });
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
