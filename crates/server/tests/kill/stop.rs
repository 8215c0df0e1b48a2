//! P2 for one process: a clean stop is not an end. Sessions are there again, and nobody saw them go.

use std::time::Duration;

use starling_testkit::Tree;
use starling_testkit::numbered::{Begun, Came, Kept, PATIENCE, Stream};

use crate::setup::Kit;

/// A session of `account` that is available and may be resumed.
async fn online(kit: &Kit, account: &str) -> Stream {
    let (mut stream, _) = Stream::open(kit.server.plain(), account, "phone", Kept::default()).await.unwrap();
    stream.write("<presence/>").await.unwrap();
    stanza(&mut stream, |tree| tree.name == "presence" && from(tree, account)).await;
    stream
}

fn from(tree: &Tree, account: &str) -> bool {
    tree.attr("from").is_some_and(|from| from.starts_with(&format!("{account}@localhost/")))
}

/// The first stanza for which `is_it` holds; all before it.
async fn stanza(stream: &mut Stream, is_it: impl Fn(&Tree) -> bool) -> Vec<Tree> {
    let mut passed = Vec::new();
    loop {
        match stream.poll(PATIENCE).await {
            Some(Came::Stanza(tree)) if is_it(&tree) => return passed,
            Some(Came::Stanza(tree)) => passed.push(tree),
            Some(Came::Asked) => stream.acknowledge().await.unwrap(),
            Some(Came::Acked(_)) => {}
            other => panic!("waited for a stanza and got {other:?} after {passed:?}"),
        }
    }
}

/// Bob sees Anna's presence.
async fn befriend(anna: &mut Stream, bob: &mut Stream) {
    bob.write("<presence to='anna@localhost' type='subscribe'/>").await.unwrap();
    stanza(anna, |tree| tree.attr("type") == Some("subscribe")).await;
    anna.write("<presence to='bob@localhost' type='subscribed'/>").await.unwrap();
    stanza(bob, |tree| tree.name == "presence" && from(tree, "anna") && tree.attr("type").is_none()).await;
}

/// Everything up to the answer to a ping that is sent now.
async fn up_to_a_ping(stream: &mut Stream) -> Vec<Tree> {
    stream.write("<iq type='get' id='now'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    stanza(stream, |tree| tree.attr("id") == Some("now")).await
}

async fn resume(kit: &Kit, account: &str, kept: Kept) -> Stream {
    let (stream, begun) = Stream::open(kit.server.plain(), account, "phone", kept).await.unwrap();
    assert!(matches!(begun, Begun::Resumed(_)), "{account}: {begun:?}");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_keeps_the_sessions_and_contacts_see_nothing_of_it() {
    let mut kit = Kit::start("", &["anna", "bob"]).await;
    let (mut anna, mut bob) = (online(&kit, "anna").await, online(&kit, "bob").await);
    befriend(&mut anna, &mut bob).await;
    up_to_a_ping(&mut anna).await;
    for number in 1..=3 {
        let message =
            format!("<message to='anna@localhost/phone' type='chat'><body>{number}</body></message>");
        bob.write(&message).await.unwrap();
    }
    up_to_a_ping(&mut bob).await; // the messages are on their way to Anna, who has not read them

    kit.server.stop().await.unwrap();
    let (anna, bob) = (anna.cut(), bob.cut());
    kit.start_again().await;

    let mut bob = resume(&kit, "bob", bob).await;
    bob.write("<message to='anna@localhost/phone' type='chat'><body>4</body></message>").await.unwrap();
    assert!(up_to_a_ping(&mut bob).await.is_empty(), "Anna was never away, though she is not back yet");
    let mut anna = resume(&kit, "anna", anna).await;
    let came = up_to_a_ping(&mut anna).await;
    let bodies: Vec<&str> =
        came.iter().filter_map(|tree| tree.child("body").map(|body| body.text.as_str())).collect();
    assert_eq!(bodies, ["1", "2", "3", "4"]);
    assert!(came.iter().all(|tree| tree.child("delay").is_none()), "they go on where they were");
    assert!(up_to_a_ping(&mut bob).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_come_back_after_a_stop_is_announced_once() {
    let mut kit = Kit::start("[im]\nresume-within = \"20s\"\n", &["anna", "bob"]).await;
    let (mut anna, mut bob) = (online(&kit, "anna").await, online(&kit, "bob").await);
    befriend(&mut anna, &mut bob).await;
    up_to_a_ping(&mut anna).await;
    bob.write("<message to='anna@localhost/phone' type='chat'><body>wait</body></message>").await.unwrap();
    up_to_a_ping(&mut bob).await;

    kit.server.stop().await.unwrap();
    drop(anna);
    let bob = bob.cut();
    kit.start_again().await;

    let mut bob = resume(&kit, "bob", bob).await;
    let gone = |tree: &Tree| from(tree, "anna") && tree.attr("type") == Some("unavailable");
    assert!(stanza(&mut bob, gone).await.is_empty(), "nothing before it");
    assert!(up_to_a_ping(&mut bob).await.is_empty(), "and nothing after it");
    let mut anna = Stream::open(kit.server.plain(), "anna", "desk", Kept::default()).await.unwrap().0;
    anna.write("<presence/>").await.unwrap();
    let late = |tree: &Tree| tree.child("body").is_some_and(|body| body.text == "wait");
    tokio::time::timeout(Duration::from_secs(60), stanza(&mut anna, late)).await.unwrap();
}
