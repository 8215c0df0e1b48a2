//! A connection manager dies, and all its clients come to the other one at once: those that are resumed go first, and lose nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;
use starling_history::Expect;
use starling_testkit::numbered::{Habit, Hosts, Notes, PATIENCE, Recipient, Sender, Stream};
use starling_testkit::{Cluster, ClusterOptions, Part};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::kit::binary;
use crate::moment::Moments;

/// Unless `STARLING_STORM_CLIENTS` says another: half of them are cut. One process has so many sockets and no more.
const CLIENTS: usize = 2_000;
const SENDERS: [&str; 8] = ["anna", "ben", "cleo", "dora", "emil", "fred", "gina", "hugo"];
/// How many sign in at once at the beginning, which is no storm.
const ENTER: usize = 48;
/// For so long everybody may need, however busy the machine.
const LONG: Duration = Duration::from_secs(900);
/// All clients have one address here; a login waits for its turn.
const CONFIG: &str = "[limits]\nunauthenticated-per-address = 20000\nlogin-within = \"10m\"\nstanzas-per-second = 0\n\
                      bytes-per-second = 0\n[im.quotas]\noffline-messages = 0\n";

fn clients() -> usize {
    std::env::var("STARLING_STORM_CLIENTS").ok().and_then(|clients| clients.parse().ok()).unwrap_or(CLIENTS)
}

/// What all phones share.
struct Storm {
    hosts: Hosts,
    enter: Semaphore,
    stop: watch::Sender<bool>,
    /// When the manager was killed.
    killed: Mutex<Option<Instant>>,
    /// How many have signed in the first time, and after how long the others were back.
    entered: watch::Sender<usize>,
    back: Mutex<Vec<Duration>>,
}

impl Storm {
    /// Reads until it is told to stop, through a lost socket.
    async fn live(self: Arc<Storm>, mut phone: Recipient, mut host: usize) -> Recipient {
        let mut stop = self.stop.subscribe();
        let mut is_first = true;
        while !*stop.borrow() {
            let address = self.hosts.nth(host);
            let Some(mut stream) = self.connect(&mut phone, address, is_first).await else {
                // As clients do: not all at the same moment again.
                tokio::time::sleep(Duration::from_millis(500 + (host as u64 * 37) % 1000)).await;
                host += 1;
                continue;
            };
            is_first = false;
            tokio::select! {
                () = phone.read(&mut stream, Habit::Answers, LONG, |_| false) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            phone.cut(stream);
            host += 1;
        }
        phone
    }

    async fn connect(&self, phone: &mut Recipient, address: SocketAddr, is_first: bool) -> Option<Stream> {
        let _permit = if is_first { self.enter.acquire().await.ok() } else { None };
        let (stream, _) = phone.try_connect(address).await.ok()?;
        if is_first {
            self.entered.send_modify(|entered| *entered += 1);
        } else if let Some(killed) = *self.killed.lock() {
            self.back.lock().push(killed.elapsed());
        }
        Some(stream)
    }
}

/// Some at a time.
async fn add_all(cluster: Cluster, names: Vec<String>) -> Cluster {
    let (begun, count) = (Instant::now(), names.len());
    let (cluster, names) = (Arc::new(cluster), Arc::new(Mutex::new(names)));
    let mut adding = JoinSet::new();
    for _ in 0..ENTER {
        let (cluster, names) = (cluster.clone(), names.clone());
        adding.spawn(async move {
            loop {
                let Some(name) = names.lock().pop() else { return };
                let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
                cluster.control(add).await.unwrap();
            }
        });
    }
    adding.join_all().await;
    println!("{count} accounts were made in {:?}", begun.elapsed());
    Arc::into_inner(cluster).unwrap()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "{what}: not in {LONG:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The time within which so many of a hundred were back.
fn percent(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get((sorted.len() * percent / 100).min(sorted.len() - 1)).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_clients_of_a_killed_manager_are_resumed_by_the_other() {
    let options = ClusterOptions { config: CONFIG.to_owned(), ..ClusterOptions::default() };
    let cluster = Cluster::start(&binary(), &options).await.unwrap();
    let names: Vec<String> = (0..clients()).map(|number| format!("phone{number}")).collect();
    let senders: Vec<String> = SENDERS.iter().map(|&name| name.to_owned()).collect();
    let mut cluster = add_all(cluster, [names.clone(), senders].concat()).await;

    let notes = Notes::default();
    let storm = Arc::new(Storm {
        hosts: cluster.hosts().clone(),
        enter: Semaphore::new(ENTER),
        stop: watch::Sender::new(false),
        killed: Mutex::default(),
        entered: watch::Sender::new(0),
        back: Mutex::default(),
    });
    let (begun, mut phones) = (Instant::now(), JoinSet::new());
    for (number, name) in names.iter().enumerate() {
        phones.spawn(storm.clone().live(Recipient::new(name, "phone", &notes), number));
    }
    until("everybody signs in", || *storm.entered.borrow() == names.len()).await;
    println!("{} clients signed in within {:?}", names.len(), begun.elapsed());

    let (stop, mut lanes) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    let receivers: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in SENDERS {
        let sender = Sender::new(name, &receivers, &notes);
        lanes.spawn(sender.insist(cluster.hosts().clone(), stop.clone()));
    }
    Moments::of(&notes).next().await;
    *storm.killed.lock() = Some(Instant::now());
    cluster.kill(Part::Manager(0)).await.unwrap();
    let cut = names.len().div_ceil(2);
    until("all are back", || storm.back.lock().len() >= cut).await;
    let mut back = storm.back.lock().clone();
    back.sort();
    println!(
        "{cut} clients were cut: half of them were back within {:?}, 99 of 100 within {:?}, all within {:?}",
        percent(&back, 50),
        percent(&back, 99),
        percent(&back, 100)
    );

    stop.store(true, Ordering::Relaxed);
    for mut sender in lanes.join_all().await {
        let (stream, _) = sender.connect(cluster.hosts().nth(1)).await;
        sender.finish(stream).await;
    }
    let all = Expect { all_delivered: true, all_archived: false };
    let begun = Instant::now();
    while !notes.open().faults(all).is_empty() && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    storm.stop.send_replace(true);
    let phones = phones.join_all().await;
    notes.check(all, "after the storm");
    let anew = phones.iter().filter(|phone| phone.streams() != 1).count();
    assert_eq!(anew, 0, "of {} clients so many were not resumed", phones.len());
    let (sent, acked, received) = notes.open().counts();
    println!("{sent} sent, {acked} acked, {received} received");
}
