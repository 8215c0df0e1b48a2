//! A connection manager dies, and all its clients come to the other one at once, and newcomers, too: those that are resumed lose nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;
use starling_history::Expect;
use starling_testkit::numbered::{Habit, Hosts, Notes, PATIENCE, Recipient, Sender, Stream};
use starling_testkit::{Cluster, ClusterOptions, Part};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::costs::Asked;
use crate::kit::binary;
use crate::moment::Moments;

/// Unless `STARLING_STORM_CLIENTS` says another: half of them are cut the first time, all the second. Each is a socket here and one there.
const CLIENTS: usize = 2_000;
/// For each of so many clients somebody comes who was not there before.
const A_NEWCOMER_FOR: usize = 10;
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
    /// When a manager was killed.
    killed: Mutex<Option<Instant>>,
    /// How many have signed in the first time.
    entered: watch::Sender<usize>,
    /// How often it was tried since then, and after how long they were back.
    tries: AtomicUsize,
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
        self.tries.fetch_add(1, Ordering::Relaxed);
        let (stream, _) = phone.try_connect(address).await.ok()?;
        if is_first {
            self.entered.send_modify(|entered| *entered += 1);
        } else if let Some(killed) = *self.killed.lock() {
            self.back.lock().push(killed.elapsed());
        }
        Some(stream)
    }

    /// Cuts the clients of a manager, waits until all of them are back, and says how long it took.
    async fn cut(&self, cluster: &mut Cluster, manager: usize, clients: usize, what: &str) -> Duration {
        self.back.lock().clear();
        self.tries.store(0, Ordering::Relaxed);
        *self.killed.lock() = Some(Instant::now());
        cluster.kill(Part::Manager(manager)).await.unwrap();
        until("all are back", || self.back.lock().len() >= clients).await;
        let back = self.back.lock().clone();
        print_times(&format!("{what}: {clients} clients were cut and resumed"), back)
    }

    /// Signs in as somebody who was not there before, as often as it takes. Says how long.
    async fn come(hosts: Hosts, mut newcomer: Recipient) -> Duration {
        let begun = Instant::now();
        loop {
            if let Ok((stream, _)) = newcomer.try_connect(hosts.nth(0)).await {
                let took = begun.elapsed();
                newcomer.leave(stream).await;
                return took;
            }
            assert!(begun.elapsed() < LONG, "a newcomer was not let in within {LONG:?}");
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }
}

/// The longest.
fn print_times(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    println!(
        "{what}: half of them within {:?}, 99 of 100 within {:?}, all within {:?}",
        percent(&times, 50),
        percent(&times, 99),
        percent(&times, 100)
    );
    percent(&times, 100)
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

/// Everybody signs in, some at a time.
async fn gather(cluster: &Cluster, names: &[String], notes: &Notes) -> (Arc<Storm>, JoinSet<Recipient>) {
    let storm = Arc::new(Storm {
        hosts: cluster.hosts().clone(),
        enter: Semaphore::new(ENTER),
        stop: watch::Sender::new(false),
        killed: Mutex::default(),
        entered: watch::Sender::new(0),
        tries: AtomicUsize::new(0),
        back: Mutex::default(),
    });
    let (begun, mut phones) = (Instant::now(), JoinSet::new());
    for (number, name) in names.iter().enumerate() {
        phones.spawn(storm.clone().live(Recipient::new(name, "phone", notes), number));
    }
    until("everybody signs in", || *storm.entered.borrow() == names.len()).await;
    println!("{} clients signed in within {:?}", names.len(), begun.elapsed());
    (storm, phones)
}

/// Nothing is pending: each login reads its account, and nobody's session is looked for in CQL. What comes beside is what routers do each
/// second anyway (see `costs`).
async fn cut_in_silence(storm: &Storm, cluster: &mut Cluster, clients: usize) {
    let before = Asked::so_far(cluster).await;
    let took = storm.cut(cluster, 0, clients, "in silence").await;
    let (asked, logins) =
        (Asked::so_far(cluster).await.cql_since(&before), storm.tries.load(Ordering::Relaxed));
    println!("{logins} logins and {clients} resumptions in {took:?} cost {asked} CQL statements");
    let most = logins as u64 + 40 * (2 + took.as_secs());
    assert!(asked <= most, "{asked} CQL statements of {most}: resuming reads or writes what Redis has");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_clients_of_a_killed_manager_are_resumed_by_the_other() {
    let options = ClusterOptions { config: CONFIG.to_owned(), ..ClusterOptions::default() };
    let cluster = Cluster::start(&binary(), &options).await.unwrap();
    let named = |name: &str, count: usize| (0..count).map(|number| format!("{name}{number}")).collect();
    let (names, newcomers): (Vec<String>, Vec<String>) =
        (named("phone", clients()), named("newcomer", clients() / A_NEWCOMER_FOR));
    let senders: Vec<String> = SENDERS.iter().map(|&name| name.to_owned()).collect();
    let mut cluster = add_all(cluster, [names.clone(), newcomers.clone(), senders].concat()).await;
    let notes = Notes::default();
    let (storm, phones) = gather(&cluster, &names, &notes).await;

    cut_in_silence(&storm, &mut cluster, names.len().div_ceil(2)).await;
    cluster.start_again(Part::Manager(0)).await.unwrap();

    let (stop, mut lanes) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    let receivers: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in SENDERS {
        let sender = Sender::new(name, &receivers, &notes);
        lanes.spawn(sender.insist(cluster.hosts().clone(), stop.clone()));
    }
    Moments::of(&notes).next().await;
    // They come together with everybody who is cut.
    let mut coming = JoinSet::new();
    for name in &newcomers {
        coming.spawn(Storm::come(cluster.hosts().clone(), Recipient::new(name, "phone", &notes)));
    }
    storm.cut(&mut cluster, 1, names.len(), "under load").await;
    print_times(&format!("{} newcomers", newcomers.len()), coming.join_all().await);

    stop.store(true, Ordering::Relaxed);
    for mut sender in lanes.join_all().await {
        let (stream, _) = sender.connect(cluster.hosts().nth(0)).await;
        sender.finish(stream).await;
    }
    end(&storm, phones, &notes).await;
}

/// Everything acknowledged has come, and everybody was resumed, always.
async fn end(storm: &Storm, phones: JoinSet<Recipient>, notes: &Notes) {
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
