//! A Redis Cluster: who has which slot, learnt again whenever a node says otherwise or is not there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::RedisError;
use tokio::task::JoinSet;

use crate::dial::{Dialler, other};
use crate::error::Failure;
use crate::node::Node;
use crate::topology::{Address, Drawn, SLOTS, slot};

/// How often the nodes are asked at most.
const EVERY: Duration = Duration::from_millis(100);
/// How many nodes are asked at once: the first that knows is believed.
const ASKED: usize = 12;

/// Who has which slot, as far as is known.
#[derive(Clone)]
struct Map {
    epoch: u64,
    owners: Vec<Option<Arc<Node>>>,
    masters: HashMap<Address, Arc<Node>>,
    replicas: Vec<Address>,
}

/// All nodes together.
pub(crate) struct Cluster {
    seeds: Vec<Address>,
    map: Mutex<Arc<Map>>,
    refreshed: tokio::sync::Mutex<Option<Instant>>,
    is_stale: AtomicBool,
}

impl Cluster {
    /// As one of its nodes draws it.
    pub(crate) fn new(seeds: Vec<Address>, drawn: Drawn, dialler: &Dialler) -> Cluster {
        let nothing = Map { epoch: 0, owners: Vec::new(), masters: HashMap::new(), replicas: Vec::new() };
        let cluster = Cluster {
            seeds,
            map: Mutex::new(Arc::new(nothing)),
            refreshed: tokio::sync::Mutex::default(),
            is_stale: AtomicBool::new(false),
        };
        cluster.take(drawn, dialler);
        cluster
    }

    /// Who has the key.
    pub(crate) async fn owner(&self, key: &[u8], dialler: &Arc<Dialler>) -> Result<Arc<Node>, Failure> {
        if self.is_stale.load(Ordering::Acquire) {
            Box::pin(self.refresh(dialler)).await; // seldom: no call carries the room for it
        }
        self.known_owner(key).ok_or_else(|| {
            self.suspect();
            Failure::Again(other("no node of the cluster has the slot"))
        })
    }

    /// The same without asking anybody.
    pub(crate) fn known_owner(&self, key: &[u8]) -> Option<Arc<Node>> {
        self.map.lock().owners.get(usize::from(slot(key))).cloned().flatten()
    }

    pub(crate) fn masters(&self) -> HashMap<Address, Arc<Node>> {
        self.map.lock().masters.clone()
    }

    /// What is known may not hold any more.
    pub(crate) fn suspect(&self) {
        self.is_stale.store(true, Ordering::Release);
    }

    /// A node has said who has the slot now. Whether anything else has changed is asked before the next call.
    pub(crate) fn moved(&self, slot: u16, to: &Address) {
        let mut map = self.map.lock();
        let map = Arc::make_mut(&mut map);
        let node =
            map.masters.entry(to.clone()).or_insert_with(|| Arc::new(Node::successor(to.clone()))).clone();
        if let Some(owner) = map.owners.get_mut(usize::from(slot)) {
            *owner = Some(node);
        }
        self.suspect();
    }

    /// Asks, unless somebody does or has just done so: then what is known has to do.
    async fn refresh(&self, dialler: &Arc<Dialler>) {
        let Ok(mut refreshed) = self.refreshed.try_lock() else { return };
        if refreshed.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.is_stale.store(false, Ordering::Release);
        match self.ask(dialler).await {
            Ok(drawn) => self.take(drawn, dialler),
            Err(error) => {
                tracing::debug!(%error, "no node of the cluster says where slots are");
                self.suspect();
            }
        }
        *refreshed = Some(Instant::now());
    }

    /// The first that knows as much as we do; if none does, whoever knows most: the cluster may have been made anew.
    async fn ask(&self, dialler: &Arc<Dialler>) -> Result<Drawn, RedisError> {
        let map = self.map.lock().clone();
        let known = map.masters.keys().chain(&map.replicas).chain(&self.seeds).take(ASKED);
        let mut asked = JoinSet::new();
        for address in known {
            let (dialler, address) = (dialler.clone(), address.clone());
            asked.spawn(async move { dialler.draw(&address).await });
        }
        let (mut most, mut why) = (None, other("no node of the cluster has a majority behind it"));
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(Some(drawn))) if drawn.epoch >= map.epoch => return Ok(drawn),
                Ok(Ok(Some(drawn))) => {
                    most = most.filter(|most: &Drawn| most.epoch > drawn.epoch).or(Some(drawn))
                }
                Ok(Err(error)) => why = error,
                Ok(Ok(None)) | Err(_) => {}
            }
        }
        most.ok_or(why)
    }

    /// Nodes that are masters no more are let go: what was committed there last may be gone (rule 8).
    fn take(&self, drawn: Drawn, dialler: &Dialler) {
        let mut map = self.map.lock();
        let mut masters = HashMap::new();
        let mut owners = vec![None; usize::from(SLOTS)];
        for range in drawn.ranges {
            let (at, known) = (range.master, &map.masters);
            let new = || match known.is_empty() {
                true => Node::new(Some(at.clone())),
                false => Node::successor(at.clone()),
            };
            let fresh = || known.get(&at).cloned().unwrap_or_else(|| Arc::new(new()));
            let node = masters.entry(at.clone()).or_insert_with(fresh).clone();
            let slots = usize::from(range.first)..=usize::from(range.last);
            owners
                .iter_mut()
                .take(slots.end() + 1)
                .skip(*slots.start())
                .for_each(|owner| *owner = Some(node.clone()));
        }
        if map.masters.keys().any(|address| !masters.contains_key(address)) {
            dialler.interrupt();
        }
        *map = Arc::new(Map { epoch: drawn.epoch, owners, masters, replicas: drawn.replicas });
    }
}
