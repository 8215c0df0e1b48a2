//! A cluster under load, and the history of all that its clients saw.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use starling_history::Expect;
use starling_testkit::numbered::{Habit, Hosts, Notes, PATIENCE, Readers, Recipient, Sender};
use starling_testkit::{
    Cluster, ClusterOptions, Connection, Part, Proxy, Received, Usage, cql_server, excess,
};
use tokio::task::JoinSet;

use crate::moment::Moments;
use crate::took::{FAULT, Took};

/// Who sends; each to all receivers in turn.
const SENDERS: [&str; 12] =
    ["anna", "ben", "cleo", "dora", "emil", "fred", "gina", "hugo", "ida", "jan", "kim", "lea"];
/// Who receives, on a phone that acknowledges what it is asked for.
const RECEIVERS: [&str; 3] = ["rita", "sven", "tess"];
/// A contact of all receivers, who sees them come and go.
const CONTACT: &str = "wanda";
/// To whom is sent.
const READERS: [&str; 4] = ["rita", "sven", "tess", CONTACT];
/// How many messages are acknowledged before a part dies, and after it.
const FLOW: usize = 400;
/// How many of each sender, and to each receiver, where nobody may be left behind: more than can have been on their way before.
const SHARE: usize = 50;

const MANAGERS: usize = 2;

/// What all parts run with: nothing but the promises limits these clients.
const CONFIG: &str = "[limits]\nstanzas-per-second = 0\nbytes-per-second = 0\n[im]\narchive-max-page = 250\n[im.quotas]\noffline-messages = 0\n\
                      [drain]\nwindow = \"2s\"\n";

/// The program, or one that is broken on purpose.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("STARLING_BIN").map_or_else(|| env!("CARGO_BIN_EXE_starling").into(), PathBuf::from)
}

/// How often a fault is repeated, unless the environment says it: `usually`.
pub(crate) fn rounds(usually: usize) -> usize {
    std::env::var("STARLING_FAULT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usually)
}

/// Where all that was logged is left, if the environment says it.
fn logs() -> Option<PathBuf> {
    std::env::var_os("STARLING_FAULT_LOG").map(PathBuf::from)
}

fn options(cql: String, redis: String) -> ClusterOptions {
    let level = if logs().is_some() { "[log]\nlevel = \"debug,h2=info\"\n" } else { "" };
    let config = format!("{CONFIG}{level}");
    ClusterOptions { managers: MANAGERS, routers: 2, cql, replication: 1, redis, config }
}

/// Everybody who sends or receives.
pub(crate) fn accounts() -> impl Iterator<Item = String> {
    SENDERS.into_iter().chain(READERS).map(|name| format!("{name}@localhost"))
}

/// The cluster, and everybody at work.
pub(crate) struct Kit {
    pub(crate) cluster: Cluster,
    pub(crate) notes: Notes,
    pub(crate) moments: Moments,
    stop: Arc<AtomicBool>,
    senders: JoinSet<Sender>,
    recipients: JoinSet<Recipient>,
    /// Between clients and their nodes, where sockets are to be cut.
    wires: Vec<Proxy>,
    /// What each process had when nobody was there.
    usage: BTreeMap<String, Usage>,
}

impl Kit {
    /// Two connection managers, two session routers, Redis and CQL; everybody is there, and messages flow.
    pub(crate) async fn start() -> Kit {
        Kit::start_with(false).await
    }

    /// The same with clients that take a server for dead which does not answer, and go elsewhere.
    pub(crate) async fn start_impatient() -> Kit {
        Kit::start_with(true).await
    }

    /// The same where the sockets of all clients can be cut.
    pub(crate) async fn start_on_wires() -> Kit {
        let took = Took::begin();
        let cluster = Cluster::start(&binary(), &options(cql_server(), String::new())).await.unwrap();
        let wire = |manager| Proxy::start(cluster.hosts().nth(manager)).unwrap();
        let wires: Vec<Proxy> = (0..MANAGERS).map(wire).collect();
        let hosts = Hosts::new(wires.iter().map(Proxy::address).collect());
        let mut kit = Kit::load_at(hosts, false, cluster, took).await;
        kit.wires = wires;
        kit
    }

    /// All clients lose their sockets, and come back at once.
    pub(crate) fn cut(&self) {
        self.wires.iter().for_each(Proxy::cut);
    }

    /// The same on a CQL server of the test's own.
    pub(crate) async fn start_on(cql: &str) -> Kit {
        Kit::start_as(false, cql.to_owned(), String::new()).await
    }

    /// The same where three nodes have a copy of each row.
    pub(crate) async fn start_on_three(cql: &str) -> Kit {
        let options = ClusterOptions { replication: 3, ..options(cql.to_owned(), String::new()) };
        Kit::load(false, Cluster::start(&binary(), &options)).await
    }

    /// The same on a Redis that is there: what stands in `[redis]`.
    pub(crate) async fn start_on_redis(redis: String) -> Kit {
        Kit::start_as(false, cql_server(), redis).await
    }

    /// The same on a Redis that is there, where each part is a program of its own.
    pub(crate) async fn start_each(redis: String, program: impl Fn(Part) -> PathBuf) -> Kit {
        let options = options(cql_server(), redis);
        Kit::load(false, Cluster::start_each(&binary(), &options, program)).await
    }

    /// The same of another program.
    pub(crate) async fn start_former(former: &Path) -> Kit {
        let options = options(cql_server(), String::new());
        Kit::load(false, Cluster::start(former, &options)).await
    }

    async fn start_with(is_impatient: bool) -> Kit {
        Kit::start_as(is_impatient, cql_server(), String::new()).await
    }

    async fn start_as(is_impatient: bool, cql: String, redis: String) -> Kit {
        Kit::load(is_impatient, Cluster::start(&binary(), &options(cql, redis))).await
    }

    async fn load<E: fmt::Debug>(
        is_impatient: bool,
        cluster: impl Future<Output = Result<Cluster, E>>,
    ) -> Kit {
        let took = Took::begin();
        let cluster = cluster.await.unwrap();
        Kit::load_at(cluster.hosts().clone(), is_impatient, cluster, took).await
    }

    async fn load_at(hosts: Hosts, is_impatient: bool, cluster: Cluster, took: Took) -> Kit {
        let habit = if is_impatient { Habit::Asks } else { Habit::Answers };
        for jid in accounts() {
            let add = json!({"op": "user-add", "jid": jid, "password": "secret"});
            cluster.control(add).await.unwrap();
        }
        befriend(&cluster, &RECEIVERS, CONTACT).await;
        let usage = calm(&cluster).await;
        let (notes, stop) = (Notes::default(), Arc::new(AtomicBool::new(false)));
        let (mut senders, mut recipients) = (JoinSet::new(), JoinSet::new());
        for name in RECEIVERS.into_iter().chain([CONTACT]) {
            let phone = Recipient::new(name, "phone", &notes);
            recipients.spawn(phone.insist(hosts.clone(), habit, stop.clone()));
        }
        for name in SENDERS {
            let sender = Sender::new(name, &READERS, &notes);
            let sender = if is_impatient { sender.impatient() } else { sender };
            senders.spawn(sender.insist(hosts.clone(), stop.clone()));
        }
        took.was("starting");
        let (moments, wires) = (Moments::since(took, &notes), Vec::new());
        Kit { cluster, moments, notes, stop, senders, recipients, wires, usage }
    }

    /// Waits until so many more messages are acknowledged, and says how many that was in a second.
    pub(crate) async fn flow(&self, what: &str) {
        self.moments.took.was(FAULT);
        let (before, begin) = (self.notes.acked(), Instant::now());
        while self.notes.acked() < before + FLOW {
            assert!(
                begin.elapsed() < PATIENCE,
                "{what}: {} of {FLOW} messages were acknowledged in {PATIENCE:?}",
                self.notes.acked() - before
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let rate = FLOW as f64 / begin.elapsed().as_secs_f64();
        println!("{what}: {FLOW} messages acknowledged, {rate:.0} a second");
        self.moments.took.was("flow");
    }

    /// The same, until every session goes on: nobody whose socket is lost behind it waits to be registered again (session-log rule 9).
    pub(crate) async fn flow_of_all(&self, what: &str) {
        let (before, begin) = (self.shares(), Instant::now());
        self.flow(what).await;
        let lags = || self.shares().iter().zip(&before).any(|(now, before)| *now < before + SHARE);
        while lags() {
            assert!(
                begin.elapsed() < PATIENCE,
                "{what}: {before:?} became {:?} in {PATIENCE:?}",
                self.shares()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.moments.took.was("flow");
    }

    /// How many messages of each sender are acknowledged, and how many each receiver got.
    fn shares(&self) -> Vec<usize> {
        let history = self.notes.open();
        let (sent, got) = (
            SENDERS.iter().map(|name| history.acked_of(name)),
            READERS.iter().map(|name| history.received_by(name)),
        );
        sent.chain(got).collect()
    }

    /// Waits until so many more messages are accepted, and so stored: while a store takes nothing, others are refused.
    pub(crate) async fn accept(&self, what: &str) {
        self.moments.took.was(FAULT);
        let begin = Instant::now();
        let before = self.notes.open().accepted();
        while self.notes.open().accepted() < before + FLOW {
            assert!(begin.elapsed() < PATIENCE, "{what}: fewer than {FLOW} were accepted in {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let rate = FLOW as f64 / begin.elapsed().as_secs_f64();
        println!("{what}: {FLOW} messages accepted, {rate:.0} a second");
        self.moments.took.was("flow");
    }

    /// Nothing is sent any more, everything acknowledged is read, and the history is checked. Returns how many streams each
    /// receiver has begun: 1 if it was always resumed.
    pub(crate) async fn end(mut self) -> Vec<u32> {
        self.moments.took.was(FAULT);
        self.stop.store(true, Ordering::Relaxed);
        let address = self.cluster.hosts().nth(0);
        let mut senders = JoinSet::new();
        while let Some(sender) = self.senders.join_next().await {
            let mut sender = sender.unwrap();
            senders.spawn(async move {
                let (stream, _) = sender.connect(address).await;
                sender.finish(stream).await;
            });
        }
        senders.join_all().await;
        self.moments.took.was("senders");
        let mut recipients = JoinSet::new();
        while let Some(recipient) = self.recipients.join_next().await {
            recipients.spawn(leave(recipient.unwrap(), address, self.notes.clone()));
        }
        let streams = recipients.join_all().await;
        self.moments.took.was("receivers");
        let accounts: Vec<&str> = SENDERS.into_iter().chain(READERS).collect();
        Readers::default().read(address, &accounts, &self.notes).await;
        self.moments.took.was("archives");
        let panics: Vec<String> =
            self.cluster.log().lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect();
        assert!(panics.is_empty(), "{panics:?}");
        self.notes.check(Expect { all_delivered: true, all_archived: true }, "at the end");
        let (sent, acked, received) = self.notes.open().counts();
        println!("{sent} sent, {acked} acked, {received} received");
        self.moments.took.was("check");
        settles(&self.cluster, &self.usage).await;
        self.moments.took.was("settling");
        streams
    }
}

/// Reads what there is, and goes. Returns how many streams it has begun.
async fn leave(mut recipient: Recipient, address: SocketAddr, notes: Notes) -> u32 {
    let (mut stream, _) = recipient.connect(address).await;
    recipient.read_all(&mut stream).await;
    notes.open().left(&recipient.name());
    recipient.leave(stream).await;
    recipient.streams()
}

impl Drop for Kit {
    /// After a failure too.
    fn drop(&mut self) {
        if let Some(file) = logs()
            && let Err(error) = std::fs::write(file, self.cluster.log())
        {
            println!("the logs are lost: {error}");
        }
    }
}

/// What each process has while nobody is there: sockets of those who were are closed a moment later.
pub(crate) async fn calm(cluster: &Cluster) -> BTreeMap<String, Usage> {
    let mut before = cluster.usage().unwrap();
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = cluster.usage().unwrap();
        let same = |(name, now): (&String, &Usage)| {
            before.get(name).is_some_and(|before| before.descriptors <= now.descriptors)
        };
        if now.iter().all(same) {
            return now;
        }
        before = now;
    }
    before
}

/// Nobody is there any more: memory and descriptors of all processes are back where they were `before`.
pub(crate) async fn settles(cluster: &Cluster, before: &BTreeMap<String, Usage>) {
    let begun = Instant::now();
    loop {
        let now = cluster.usage().unwrap();
        let more = excess(before, &now);
        if more.is_empty() {
            println!("after {:?} nothing is left: {before:?} then, {now:?} now", begun.elapsed());
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody is there, and after {PATIENCE:?} {}", more.join("; "));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// `contact` sees all of them: they approve in advance (RFC 6121 §3.4), then it asks.
pub(crate) async fn befriend(cluster: &Cluster, names: &[&str], contact: &str) {
    for name in names {
        let approval = format!("<presence to='{contact}@localhost' type='subscribed'/>");
        say(cluster, name, &approval).await;
    }
    let asks: String =
        names.iter().map(|name| format!("<presence to='{name}@localhost' type='subscribe'/>")).collect();
    say(cluster, contact, &asks).await;
}

/// Signs in, says it, and leaves when it was handled.
async fn say(cluster: &Cluster, name: &str, text: &str) {
    let mut connection = Connection::open(cluster.hosts().nth(0)).await.unwrap();
    connection.login("localhost", name, "secret").await.unwrap();
    connection.bind("setup").await.unwrap();
    let ping = "<iq type='get' id='done'><ping xmlns='urn:xmpp:ping'/></iq>";
    connection.write(&format!("{text}{ping}")).await.unwrap();
    loop {
        match connection.next(PATIENCE).await.unwrap() {
            Received::Element(tree, _) if tree.attr("id") == Some("done") => break,
            Received::Element(..) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
    connection.write("</stream:stream>").await.unwrap();
}
