//! Random histories, told to the embedded store and to two routers on Redis: what comes of them is the same.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use starling_jid::BareJid;
use starling_ports::ids::{Epoch, Handled, LogNumber, SessionId};
use starling_ports::sessions::{
    Availability, Bind, Change, Changed, Claim, Claimed, Detach, Farewell, Flags, Handed, Outcome, Sessions,
    SmBase,
};
use starling_ports::suite::{fresh_user, wire};
use starling_store_embedded::Store;

use crate::talk::{NODE, commit, message};
use crate::world::World;

#[derive(Debug, Clone)]
enum Step {
    Bind,
    Available(bool),
    Inactive(bool),
    Enable,
    Message { sender: u128, again: bool, stored: bool },
    Pull(usize),
    Acknowledge(u64),
    Handle(u64),
    Detach(bool),
    Claim(u32),
    EndAll,
}

/// Which session it is about, at which router, and what.
fn steps() -> impl Strategy<Value = Vec<(usize, usize, Step)>> {
    let step = prop_oneof![
        2 => Just(Step::Bind),
        2 => any::<bool>().prop_map(Step::Available),
        1 => any::<bool>().prop_map(Step::Inactive),
        2 => Just(Step::Enable),
        8 => (1..3_u128, prop::bool::weighted(0.2), prop::bool::weighted(0.8))
            .prop_map(|(sender, again, stored)| Step::Message { sender, again, stored }),
        4 => (1..12_usize).prop_map(Step::Pull),
        3 => (0..4_u64).prop_map(Step::Acknowledge),
        1 => (1..9_u64).prop_map(Step::Handle),
        1 => any::<bool>().prop_map(Step::Detach),
        2 => (0..4_u32).prop_map(Step::Claim),
        1 => Just(Step::EndAll),
    ];
    prop::collection::vec((0..2_usize, 0..2_usize, step), 1..40)
}

#[derive(Clone, Copy)]
struct Known {
    id: SessionId,
    epoch: Epoch,
    /// The last number that came to its owner.
    last: u64,
    acknowledged: u64,
}

/// Who tells a history, and what has come of it so far.
struct Teller<'a> {
    routers: [&'a dyn Sessions; 2],
    store: &'a Store,
    account: BareJid,
    sessions: BTreeMap<usize, Known>,
    numbers: BTreeMap<u128, u64>,
    token: u128,
    /// Whether what nobody waits for is written later.
    rides: bool,
    log: String,
}

const RESOURCES: [&str; 2] = ["desk", "phone"];

impl Teller<'_> {
    async fn tell(&mut self, session: usize, router: usize, step: &Step) {
        let router = self.routers[router];
        let known = self.sessions.get(&session).copied();
        let account = self.account.clone();
        let change = async |change: Change| match known {
            Some(known) => match router.change(&account, known.id, known.epoch, change).await.unwrap() {
                Changed::Pull => "pull",
                Changed::Nothing => "nothing",
                Changed::Left(farewell) => {
                    router.settle_farewell(&farewell).await.unwrap();
                    "left"
                }
                Changed::Fenced => "fenced",
            },
            None => "nobody",
        };
        let came = match step {
            Step::Bind => {
                let jid = account.with_resource(RESOURCES[session]).unwrap();
                let bound = router.bind(Bind { jid, node: NODE }).await.unwrap();
                let known = Known { id: bound.id, epoch: bound.epoch, last: 0, acknowledged: 0 };
                self.sessions.insert(session, known);
                format!("replaced {:?}", bound.replaced.map(|ended| handed(&ended.handed)))
            }
            Step::Available(is) => {
                let presence = is.then(|| Arc::new(Availability { priority: 0, presence: wire("") }));
                change(Change::Presence(presence)).await.to_owned()
            }
            Step::Inactive(inactive) => {
                change(Change::Flags(Flags { inactive: *inactive, carbons: true, ..Flags::default() }))
                    .await
                    .to_owned()
            }
            Step::Enable => {
                let resume = Some(Duration::from_secs(300));
                change(Change::EnableSm { resume, base: SmBase::default() }).await.to_owned()
            }
            Step::Message { sender, again, stored } => self.message(router, *sender, *again, *stored).await,
            Step::Pull(limit) => self.pull(router, session, *limit).await,
            Step::Acknowledge(more) => match known {
                Some(known) => {
                    let upto = (known.acknowledged + more).min(known.last);
                    self.sessions.insert(session, Known { acknowledged: upto, ..known });
                    let (id, epoch) = (known.id, known.epoch);
                    let known = router.acknowledge(&account, id, epoch, LogNumber(upto)).await.unwrap();
                    format!("{known}")
                }
                None => String::new(),
            },
            Step::Handle(number) => {
                let handled = known.map(|known| (known.id, known.epoch, Handled(*number)));
                router.settle(&account, &[], handled).await.unwrap();
                String::new()
            }
            Step::Detach(is_lost) => match known {
                Some(known) => {
                    let why = if *is_lost { Detach::Lost } else { Detach::Closed };
                    let ended = router.detach(&account, known.id, known.epoch, why).await.unwrap().ended();
                    format!("{:?}", ended.map(|ended| (owes(ended.farewell), handed(&ended.handed))))
                }
                None => String::new(),
            },
            Step::Claim(h) => self.claim(router, session, *h).await,
            Step::EndAll => {
                let ended = router.end_all(&account, None).await.unwrap();
                format!("{}", ended.len())
            }
        };
        for router in self.routers.iter().filter(|_| self.rides) {
            router.save().await.unwrap(); // what rides along is written
        }
        router.list(Some(&account), 1).await.unwrap(); // so that the view is no old one
        let view = router.view(&account).await.unwrap();
        let sessions: Vec<_> = view
            .sessions
            .iter()
            .map(|one| (one.jid.resource(), one.attached, one.available.is_some(), one.flags))
            .collect();
        writeln!(self.log, "{step:?}: {came}; {sessions:?}").unwrap();
    }

    async fn message(&mut self, router: &dyn Sessions, sender: u128, again: bool, stored: bool) -> String {
        let number = self.numbers.entry(sender).or_default();
        *number += u64::from(!again || *number == 0);
        router.list(Some(&self.account), 1).await.unwrap();
        let view = router.view(&self.account).await.unwrap();
        let targets: Vec<_> = view.available().map(|session| session.id).collect();
        let outcome = commit(router, &self.account, message(sender, *number, &targets)).await.unwrap();
        let (name, id, row, pushed) = match outcome {
            Outcome::Done { id, row, handed } => ("done", id, row, handed),
            Outcome::Seen { id, row, handed } => ("seen", id, row, handed),
            Outcome::Fenced => ("fenced", None, None, Vec::new()),
        };
        let told = format!("{name} {} {} {}", id.is_some(), row.is_some(), handed(&pushed));
        if let (true, Some((table, row))) = (stored, row) {
            let id = row.id;
            starling_ports::archive::Archive::put(self.store, table, &self.account, vec![row]).await.unwrap();
            router.settle(&self.account, &[id], None).await.unwrap();
        }
        for one in pushed {
            self.came(one.session, one.entry.number);
        }
        told
    }

    async fn pull(&mut self, router: &dyn Sessions, session: usize, limit: usize) -> String {
        let Some(known) = self.sessions.get(&session).copied() else { return String::new() };
        let after = LogNumber(known.last);
        let pulled = router.pull(&self.account, known.id, known.epoch, after, limit).await.unwrap();
        let mut told = String::new();
        for entry in &pulled.entries {
            let text = String::from_utf8_lossy(entry.committed.wire.as_bytes()).into_owned();
            let text = text.rsplit("<body>").next().unwrap_or_default().to_owned();
            write!(told, "{}:{text}:{:?}:{} ", entry.number.0, entry.copy, entry.late).unwrap();
            self.came(known.id, entry.number);
        }
        format!("{told}{}", pulled.more)
    }

    async fn claim(&mut self, router: &dyn Sessions, session: usize, back: u32) -> String {
        let Some(known) = self.sessions.get(&session).copied() else { return String::new() };
        self.token += 1;
        let h = u32::try_from(known.last).unwrap().saturating_sub(back);
        let (account, token) = (self.account.clone(), self.token);
        let claim = Claim { account, session: known.id, node: NODE, h, token };
        match router.claim(claim).await.unwrap() {
            Claimed::Resumed { epoch, handled, acknowledged, portrait, fenced, .. } => {
                let (last, acknowledged) = (acknowledged.0, acknowledged.0);
                self.sessions.insert(session, Known { epoch, last, acknowledged, ..known });
                format!("{epoch:?} {handled:?} {acknowledged} {portrait:?} {}", fenced.is_some())
            }
            other => format!("{other:?}"),
        }
    }

    fn came(&mut self, session: SessionId, number: LogNumber) {
        for known in self.sessions.values_mut().filter(|known| known.id == session) {
            if number != LogNumber::BEHIND {
                known.last = known.last.max(number.0);
            }
        }
    }
}

/// What an ended session owes, and to how many.
fn owes(farewell: Option<Farewell>) -> (bool, usize) {
    farewell.map_or((false, 0), |owed| (owed.to_all, owed.directed.len()))
}

fn handed(handed: &[Handed]) -> String {
    handed.iter().map(|one| format!("{}:{} ", one.jid.resource(), one.entry.number.0)).collect()
}

async fn told(
    routers: [&dyn Sessions; 2],
    store: &Store,
    rides: bool,
    steps: &[(usize, usize, Step)],
) -> String {
    let mut teller = Teller {
        routers,
        store,
        account: fresh_user(),
        sessions: BTreeMap::new(),
        numbers: BTreeMap::new(),
        token: 0,
        rides,
        log: String::new(),
    };
    for (session, router, step) in steps {
        teller.tell(*session, *router, step).await;
    }
    teller.log
}

#[test]
fn a_history_comes_to_the_same_on_redis_as_in_memory() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (world, one, other) = runtime.block_on(async {
        let world = World::new();
        let (one, other) = (world.router().await, world.router().await);
        (world, one, other)
    });
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&steps(), |steps| {
        runtime.block_on(async {
            let store = &*world.store;
            let here = told([store, store], store, false, &steps).await;
            let there = told([&*one, &*other], store, true, &steps).await;
            prop_assert_eq!(here, there);
            Ok(())
        })
    });
    drop((one, other));
    runtime.block_on(async { drop(world) });
    outcome.unwrap();
}
