//! A question to every process of the cluster, put at whichever of them: all answers, and the names of those who gave none.

pub(crate) mod dial;
mod heard;
pub(crate) mod serve;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use starling_ports::ids::NodeId;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::dial::Dialled;
pub use self::heard::{Absent, Heard, Reply};
use self::serve::{Attendant, Left};
use crate::calls::metrics::Calls;
use crate::convert;
use crate::pb;

/// How long a process may take to answer, and how much longer one that asks others on its way.
const WITHIN: Duration = Duration::from_secs(3);
const MORE_TO_PASS_ON: Duration = Duration::from_secs(1);
/// Questions of others that are answered at once; whoever asks more gets no answer.
const AT_ONCE: usize = 64;
/// Questions whose answers are kept, for those who ask them again by another way.
const REMEMBERED: usize = 256;

/// Whoever answers in a process.
#[async_trait]
pub trait Respondent: Send + Sync + 'static {
    /// The answer to a command of administration; both are JSON. Other processes ask it, which are no administrators: only what
    /// these may know and do is to be answered.
    async fn respond(&self, command: &str, request: &[u8]) -> Bytes;
}

/// All processes of the cluster, as this one reaches them.
///
/// A connection manager dials all session routers, and routers nobody: every process is reached in two steps. Each node does a
/// question once, by however many ways it comes.
pub struct Peers {
    node: NodeId,
    name: String,
    respondent: OnceLock<Weak<dyn Respondent>>,
    /// Connection managers that wait to be asked here, by the number of their name.
    attending: Mutex<HashMap<u64, Arc<Attendant>>>,
    /// Those that did, within the last hour: they are missed.
    left: Mutex<HashMap<u64, Left>>,
    /// Session routers that this process dials.
    dialled: Mutex<HashMap<SocketAddr, Dialled>>,
    done: Mutex<VecDeque<(u128, Arc<OnceCell<Bytes>>)>>,
    places: Semaphore,
    /// Those of the unary kind.
    made: Calls,
    answered: Calls,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peers")
    }
}

impl Peers {
    /// Of this process, which is called so.
    pub fn new(node: NodeId, name: &str) -> Arc<Peers> {
        Arc::new(Peers {
            node,
            name: name.to_owned(),
            respondent: OnceLock::new(),
            attending: Mutex::default(),
            left: Mutex::default(),
            dialled: Mutex::default(),
            done: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
            made: Calls::made(),
            answered: Calls::answered(),
        })
    }

    /// Who answers here from now on; before that nobody does.
    pub fn answered_by(&self, respondent: Weak<dyn Respondent>) {
        let _ = self.respondent.set(respondent); // a process has one
    }

    /// What those are called that are reached, or were within the last hour.
    pub fn known(&self) -> Vec<(NodeId, String)> {
        let attending: Vec<_> = self.attending.lock().values().map(|one| one.peer()).collect();
        let left: Vec<_> = self.left.lock().values().map(Left::peer).collect();
        let dialled = self.dialled.lock();
        let routers = dialled.values().filter_map(Dialled::peer);
        [(self.node, self.name.clone())].into_iter().chain(attending).chain(left).chain(routers).collect()
    }

    /// Asks this process and all others. Takes no longer than all may take that are reached.
    pub async fn ask(self: &Arc<Self>, command: &str, request: Bytes) -> Heard {
        let (mut high, mut low) = (0, 0);
        for half in [&mut high, &mut low] {
            *half = getrandom::u64().unwrap_or_default();
        }
        let id = Some(pb::Id { high, low });
        let question = pb::Question { id, pass_on: true, command: command.to_owned(), request };
        self.spread(question, None).await
    }

    /// What this process says to a question of `asker`, with what others say whom it asks, if it is to.
    async fn take(self: &Arc<Self>, question: pb::Question, asker: Option<u64>) -> Heard {
        let Ok(_place) = self.places.try_acquire() else {
            return self.absent("it is asked too much at once").into();
        };
        if question.pass_on {
            return self.spread(pb::Question { pass_on: false, ..question }, asker).await;
        }
        self.own(&question).await
    }

    /// Asks all whom this process reaches by itself, and itself.
    async fn spread(self: &Arc<Self>, question: pb::Question, but: Option<u64>) -> Heard {
        let within = if question.pass_on { WITHIN + MORE_TO_PASS_ON } else { WITHIN };
        let mut asked: JoinSet<Result<Heard, Absent>> = JoinSet::new(); // which is awaited here
        let attending: Vec<_> = self.attending.lock().values().cloned().collect();
        for one in attending.into_iter().filter(|one| Some(one.node.name) != but) {
            let question = question.clone();
            asked.spawn(async move { one.ask(question, within).await });
        }
        let dialled: Vec<_> = self.dialled.lock().iter().map(|(at, one)| (*at, one.clone())).collect();
        for (address, one) in dialled.into_iter().filter(|(_, one)| one.is_other(but)) {
            let question = question.clone();
            let calls = self.made.clone();
            asked.spawn(async move { one.ask(address, question, within, &calls).await });
        }
        let mut heard = self.own(&question).await;
        heard.absent.extend(self.missed());
        while let Some(answered) = asked.join_next().await {
            match answered {
                Ok(Ok(more)) => heard.take(more),
                Ok(Err(absent)) => heard.absent.push(absent),
                Err(_) => {} // the process ends
            }
        }
        heard.settled()
    }

    /// Does what is asked, unless it has.
    async fn own(&self, question: &pb::Question) -> Heard {
        let Some(respondent) = self.respondent.get().and_then(Weak::upgrade) else {
            return self.absent("it has not begun").into();
        };
        let Ok(id) = convert::of_id(question.id) else {
            return self.absent("a question without an id").into();
        };
        let done = self.once(id);
        let answer = done.get_or_init(|| respondent.respond(&question.command, &question.request));
        match timeout(WITHIN, answer).await {
            Ok(answer) => Reply { node: self.node, name: self.name.clone(), answer: answer.clone() }.into(),
            Err(_) => self.absent(&late(WITHIN)).into(),
        }
    }

    fn once(&self, id: u128) -> Arc<OnceCell<Bytes>> {
        let mut done = self.done.lock();
        if let Some((_, known)) = done.iter().find(|(one, _)| *one == id) {
            return known.clone();
        }
        if done.len() >= REMEMBERED {
            done.pop_front();
        }
        let new = Arc::<OnceCell<Bytes>>::default();
        done.push_back((id, new.clone()));
        new
    }

    fn absent(&self, why: &str) -> Absent {
        Absent { node: Some(self.node), name: self.name.clone(), why: why.to_owned() }
    }

    fn introduction(&self) -> pb::Introduction {
        let peer = pb::Peer { node: Some(convert::node(self.node)), name: self.name.clone() };
        pb::Introduction { peer: Some(peer), version: crate::VERSION }
    }
}

fn late(within: Duration) -> String {
    format!("no answer within {} s", within.as_secs())
}
