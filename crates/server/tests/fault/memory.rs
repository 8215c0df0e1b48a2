//! The memory of processes is limited while messages flow, as that of containers is, and clients would take more of it than there is: no
//! process is killed because there is none left, and others are served.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use starling_testkit::numbered::PATIENCE;
use starling_testkit::{Connection, MemoryLimit, Part, Received, Redis};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::kit::{Kit, binary};

/// What each process may have, in MiB.
const LIMIT: u64 = 256;
const PARTS: [Part; 4] = [Part::Manager(0), Part::Manager(1), Part::Router(0), Part::Router(1)];
/// Clients of one manager that read and never acknowledge: each is owed a megabyte, and all together more than a process has.
const GREEDY: usize = 320;
/// What comes for each of them, in messages of so many bytes.
const EACH: usize = 20;
const BODY: usize = 60_000;
/// How many sign in, or are written to, at once.
const AT_ONCE: usize = 8;
/// Longer than any test.
const FOREVER: Duration = Duration::from_secs(3600);

/// For each part a limit, and the program within it.
fn limits(directory: &Path) -> Vec<(MemoryLimit, PathBuf)> {
    let limit = |part| {
        let name = format!("starling-{}-{part:?}", std::process::id()).replace(['(', ')'], "-");
        let limit = MemoryLimit::of_mib(&name, LIMIT).unwrap();
        let program = limit.wrap(&binary(), directory).unwrap();
        (limit, program)
    };
    PARTS.into_iter().map(limit).collect()
}

/// Signs in, and reads everything from then on, for nothing.
async fn greedy(host: SocketAddr, name: String) -> Connection {
    let mut connection = Connection::open(host).await.unwrap();
    connection.login("localhost", &name, "secret").await.unwrap();
    connection.bind("sponge").await.unwrap();
    connection.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>").await.unwrap();
    connection.element("enabled").await.unwrap();
    connection
}

/// Everything that comes is read, and nothing is said of it, until its end is told; then it leaves for good.
async fn swallow(mut connection: Connection, mut end: watch::Receiver<bool>) {
    let read = async { while let Ok(Received::Element(..)) = connection.next(FOREVER).await {} };
    tokio::select! {
        () = read => panic!("a client was thrown out"),
        _ = end.wait_for(|end| *end) => {}
    }
    connection.write("</stream:stream>").await.unwrap();
    connection.read_away(PATIENCE).await.unwrap();
}

/// Writes to all of them in turn what is kept nowhere else, and waits until it was handled.
async fn write_to_all(mut connection: Connection, names: Vec<String>) {
    let body = "x".repeat(BODY);
    for number in 0..EACH {
        for name in &names {
            let message = format!(
                "<message to='{name}@localhost/sponge' type='chat'><body>{body}</body>\
                 <no-store xmlns='urn:xmpp:hints'/></message>"
            );
            let ping = format!("<iq type='get' id='{number}{name}'><ping xmlns='urn:xmpp:ping'/></iq>");
            connection.write(&(message + &ping)).await.unwrap();
            let id = format!("{number}{name}");
            loop {
                match connection.next(PATIENCE).await.unwrap() {
                    Received::Element(tree, _) if tree.attr("id") == Some(&id) => break,
                    Received::Element(..) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    connection.write("</stream:stream>").await.unwrap();
}

/// They are all at the first manager; who writes to them, at the second.
async fn press(kit: &Kit, end: &watch::Sender<bool>) -> JoinSet<()> {
    let names: Vec<String> = (0..GREEDY).map(|number| format!("greedy{number}")).collect();
    for name in &names {
        let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
        kit.cluster.control(add).await.unwrap();
    }
    let mut sponges = JoinSet::new();
    for few in names.chunks(AT_ONCE) {
        let mut entering = JoinSet::new();
        few.iter().for_each(|name| drop(entering.spawn(greedy(kit.cluster.hosts().nth(0), name.clone()))));
        for connection in entering.join_all().await {
            sponges.spawn(swallow(connection, end.subscribe()));
        }
    }
    let mut writers = JoinSet::new();
    for (number, few) in names.chunks(GREEDY.div_ceil(AT_ONCE)).enumerate() {
        let name = format!("writer{number}");
        let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
        kit.cluster.control(add).await.unwrap();
        let mut connection = Connection::open(kit.cluster.hosts().nth(1)).await.unwrap();
        connection.login("localhost", &name, "secret").await.unwrap();
        connection.bind("desk").await.unwrap();
        writers.spawn(write_to_all(connection, few.to_vec()));
    }
    writers.join_all().await;
    sponges
}

/// What is beyond the window of their logs waits in Redis. Once, however many rounds there are: who is gone is kept in mind for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_acknowledge_nothing_do_not_take_the_memory_of_all() {
    if !MemoryLimit::is_possible() {
        println!("SKIPPED: control groups want root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let limits = limits(directory.path());
    let redis = Redis::start_somewhere(&directory.path().join("redis")).await.unwrap();
    let place = |part| PARTS.iter().position(|one| *one == part).unwrap();
    let program = |part| limits.get(place(part)).unwrap().1.clone();
    let kit = Kit::start_each(format!("url = \"redis://{}/0\"", redis.address()), program).await;
    kit.flow("at the beginning").await;
    kit.moments.next().await;
    let begun = Instant::now();
    let end = watch::Sender::new(false);
    let sponges = press(&kit, &end).await;
    println!(
        "{GREEDY} clients were written to in {:?}; now {:?}",
        begun.elapsed(),
        kit.cluster.usage().unwrap()
    );
    kit.flow_of_all("beside clients that acknowledge nothing").await;
    end.send_replace(true);
    sponges.join_all().await;
    kit.flow_of_all("when they are gone").await;
    let kills: Vec<u64> = limits.iter().map(|(limit, _)| limit.kills().unwrap()).collect();
    assert_eq!(kills, [0; PARTS.len()], "no process was killed for its memory");
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}
