//! A connection manager that goes on when another one has its sessions (session-log rule 21), with one client: what exactly it may not do.

use std::time::{Duration, Instant};

use serde_json::json;
use starling_testkit::numbered::{Begun, Came, Kept, PATIENCE, Stream};
use starling_testkit::{Cluster, ClusterOptions, Part, Tree};

use crate::kit::{befriend, binary, rounds};

/// Longer than a session may wait to be resumed here (2 s) and than until its present owner renews it (5 s).
const AFTERWARDS: Duration = Duration::from_secs(9);
const CONFIG: &str = "[im]\nresume-within = \"2s\"\n";

/// Reads until a stanza comes that is meant; `None`: not in this time. A stream that ends breaks the promise.
async fn read(stream: &mut Stream, within: Duration, is_it: impl Fn(&Tree) -> bool) -> Option<Tree> {
    let until = Instant::now() + within;
    loop {
        match stream.poll(until.checked_duration_since(Instant::now())?).await {
            Some(Came::Stanza(tree)) if is_it(&tree) => return Some(tree),
            Some(Came::Asked) => stream.acknowledge().await.unwrap(),
            Some(Came::End) => panic!("a former owner had an effect: a stream ended"),
            Some(Came::Stanza(_) | Came::Acked(_)) | None => {}
        }
    }
}

fn is_unavailable(tree: &Tree) -> bool {
    tree.name == "presence" && tree.attr("type") == Some("unavailable")
}

/// It finds the client's old socket closed. That session is somebody else's by then: it neither waits nor ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_owner_that_loses_its_socket_has_no_effect() {
    let options = ClusterOptions { config: CONFIG.to_owned(), ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&binary(), &options).await.unwrap();
    for name in ["rita", "wanda"] {
        let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
        cluster.control(add).await.unwrap();
    }
    befriend(&cluster, &["rita"], "wanda").await;
    for round in 0..rounds(1) {
        fence(&mut cluster, round % 2, (round + 1) % 2).await;
    }
}

async fn fence(cluster: &mut Cluster, former: usize, present: usize) {
    let (from, to) = (cluster.hosts().nth(former), cluster.hosts().nth(present));
    let (mut contact, _) = Stream::open(to, "wanda", "desk", Kept::default()).await.unwrap();
    contact.write("<presence/>").await.unwrap();
    let (mut phone, _) = Stream::open(from, "rita", "phone", Kept::default()).await.unwrap();
    phone.write("<presence/>").await.unwrap();
    let is_ritas = |tree: &Tree| tree.attr("from") == Some("rita@localhost/phone");
    assert!(read(&mut contact, PATIENCE, is_ritas).await.is_some(), "she sees the phone come");

    cluster.pause(Part::Manager(former)).unwrap();
    let (mut phone, begun) = Stream::open(to, "rita", "phone", phone.cut()).await.unwrap();
    assert!(matches!(begun, Begun::Resumed(_)), "{begun:?}");
    cluster.go_on(Part::Manager(former)).unwrap();

    let nothing = |_: &Tree| false;
    let (_, went) = tokio::join!(
        read(&mut phone, AFTERWARDS, nothing),
        read(&mut contact, AFTERWARDS, |tree| is_ritas(tree) && is_unavailable(tree)),
    );
    assert!(went.is_none(), "a former owner had an effect: {}", went.unwrap());
    let hello = "<message to='rita@localhost' type='chat'><body>hello</body></message>";
    contact.write(hello).await.unwrap();
    let came = read(&mut phone, PATIENCE, |tree| tree.name == "message").await;
    assert!(came.is_some_and(|message| message.child("body").is_some()), "her stream goes on");
    for stream in [&mut phone, &mut contact] {
        stream.acknowledge().await.unwrap();
        stream.write("</stream:stream>").await.unwrap();
        while !matches!(stream.poll(PATIENCE).await, None | Some(Came::End)) {}
    }
}
