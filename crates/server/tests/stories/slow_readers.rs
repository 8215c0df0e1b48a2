//! Slow is not dead: a client that does not read is waited for, at flat memory, and nobody else notices.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use starling_testkit::{Connection, Received, ServerOptions, World};

use super::limits::resident;
use super::sasl::guest;

const SENDERS: usize = 5;
/// Unoptimised, the server would take longer than a story may.
const EACH: usize = if cfg!(debug_assertions) { 3_000 } else { 10_000 };
/// What comes is many times what sockets hold, and what the server may keep of it.
const BODY: usize = 400;
const MAY_GROW_KIB: u64 = 96 * 1024;
/// A hundred messages may take long where several servers are tested at once.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn member(world: &World, name: &str, resource: &str) -> (Connection, String) {
    let user = world.user(name).await;
    let mut connection = guest(world, "plain", 80).await;
    connection.login("localhost", user.jid().split('@').next().unwrap(), "secret").await.unwrap();
    let jid = connection.bind(resource).await.unwrap();
    (connection, jid)
}

/// Sends all of its messages, reads what comes for itself, and knows by the answer to a ping that they were taken: all but those
/// that are returned, which a store that does not keep up has refused (session-log rule 13).
pub(crate) async fn send_all(
    mut connection: Connection,
    to: String,
    sender: usize,
    each: usize,
    body: usize,
) -> BTreeSet<usize> {
    let padding = "x".repeat(body);
    let mut refused = BTreeSet::new();
    for batch in 0..each / 100 {
        let stanzas: String = (batch * 100..(batch + 1) * 100)
            .map(|n| {
                format!("<message to='{to}' type='chat' id='{sender}-{n}'><body>{padding}</body></message>")
            })
            .collect();
        let ping = format!("<iq type='get' id='{batch}'><ping xmlns='urn:xmpp:ping'/></iq>");
        connection.write(&(stanzas + &ping)).await.unwrap();
        loop {
            let Received::Element(tree, _) = connection.next(PATIENCE).await.unwrap() else {
                panic!("the stream of sender {sender} ended");
            };
            let id = tree.attr("id").unwrap();
            match (tree.name.as_str(), tree.attr("type")) {
                ("iq", Some("get")) => {
                    let pong = format!("<iq type='result' id='{id}' to='localhost'/>");
                    connection.write(&pong).await.unwrap();
                }
                ("iq", _) if id == batch.to_string() => break,
                _ => {
                    assert!(tree.find(&["error", "resource-constraint"]).is_some(), "{tree}");
                    refused.insert(id.split_once('-').unwrap().1.parse().unwrap());
                }
            }
        }
    }
    assert!(refused.len() < each / 2, "of {each} messages {} were refused", refused.len());
    refused
}

/// Two who talk to each other meanwhile: the longest that a message took.
async fn chat(world: &World, until: &tokio::sync::Notify) -> (Duration, usize) {
    let (mut one, _) = member(world, "one", "x").await;
    let (mut other, address) = member(world, "other", "x").await;
    let (mut longest, mut count) = (Duration::ZERO, 0);
    loop {
        let begun = Instant::now();
        one.write(&format!("<message to='{address}' type='chat' id='{count}'><body>hi</body></message>"))
            .await
            .unwrap();
        loop {
            match other.next(Duration::from_secs(20)).await.unwrap() {
                Received::Element(tree, _) if tree.name == "message" => break,
                Received::Element(tree, _) if tree.attr("type") == Some("get") => {
                    let id = tree.attr("id").unwrap();
                    other.write(&format!("<iq type='result' id='{id}' to='localhost'/>")).await.unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        longest = longest.max(begun.elapsed());
        count += 1;
        if tokio::time::timeout(Duration::from_millis(100), until.notified()).await.is_ok() {
            return (longest, count);
        }
    }
}

/// Which sender it was, and what of its messages is to come.
async fn sent(connection: Connection, to: String, sender: usize) -> (usize, VecDeque<usize>) {
    let refused = send_all(connection, to, sender, EACH, BODY).await;
    (sender, (0..EACH).filter(|number| !refused.contains(number)).collect())
}

/// P5. The reader asks to be resumable and then does not read. All that others send waits, and comes in order when it
/// reads again, on the same connection.
pub(crate) async fn a_stalled_reader_loses_nothing_and_costs_nothing(_: &World) {
    let config = "[limits]\nstanzas-per-second = 0\nbytes-per-second = 0\n[im.quotas]\noffline-messages = 0\noffline-bytes = 0\n";
    let options = ServerOptions { config: config.to_owned(), data_dir: None };
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap();
    let (mut reader, address) = member(&world, "reader", "slow").await;
    reader.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>").await.unwrap();
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        senders.push(member(&world, "sender", "x").await.0);
    }
    let before = resident(&world).await;

    let done = tokio::sync::Notify::new();
    let sending = async {
        let all = senders.into_iter().enumerate();
        let mut tasks = tokio::task::JoinSet::new();
        all.for_each(|(n, sender)| drop(tasks.spawn(sent(sender, address.clone(), n))));
        let refused = tasks.join_all().await;
        done.notify_one();
        refused
    };
    let (refused, (longest, count)) = tokio::join!(sending, chat(&world, &done));
    assert!(longest < Duration::from_secs(10), "somebody else's message took {longest:?}");
    assert!(count > 3, "others were heard {count} times");
    let grown = resident(&world).await.saturating_sub(before);
    assert!(grown < MAY_GROW_KIB, "{} messages cost {grown} KiB", SENDERS * EACH);

    let mut due: BTreeMap<usize, _> = refused.into_iter().collect();
    let mut handled = 0;
    while due.values().any(|numbers| !numbers.is_empty()) {
        let Received::Element(tree, _) = reader.next(Duration::from_secs(30)).await.unwrap() else {
            panic!("the stream ended, and {due:?} are missing");
        };
        match tree.name.as_str() {
            "r" => reader.write(&format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>")).await.unwrap(),
            "message" => {
                handled += 1;
                let (sender, number) = tree.attr("id").unwrap().split_once('-').unwrap();
                let numbers: &mut VecDeque<usize> = due.get_mut(&sender.parse().unwrap()).unwrap();
                assert_eq!(number.parse().ok(), numbers.pop_front(), "of sender {sender}");
            }
            "presence" | "iq" => handled += 1,
            "enabled" => {}
            other => panic!("{other}: {tree}"),
        }
    }
    while let Some(received) = reader.poll(Duration::from_millis(500)).await.unwrap() {
        let Received::Element(tree, _) = received else { panic!("the stream has ended") };
        assert_eq!(tree.name, "r", "nothing comes twice: {tree}");
    }
}

/// ADR 10: a client without XEP-0198 that answers no pings reads all the same, and gets more than its log holds.
pub(crate) async fn who_answers_no_pings_is_served_on(_: &World) {
    let config =
        "[limits]\nping-within = '1s'\n[store]\nlog-max-stanzas = 20\n[redis]\nlog-max-stanzas = 20\n";
    let options = ServerOptions { config: config.to_owned(), data_dir: None };
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap();
    let (mut deaf, address) = member(&world, "deaf", "x").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let messages: String = (0..60)
        .map(|n| format!("<message to='{address}' type='chat' id='{n}'><body>x</body></message>"))
        .collect();
    bob.send(&messages).await;
    let (mut seen, mut pings) = (0, 0);
    while seen < 60 {
        let Received::Element(tree, _) = deaf.next(Duration::from_secs(20)).await.unwrap() else {
            panic!("the stream ended after {seen}");
        };
        match tree.name.as_str() {
            "message" => {
                assert_eq!(tree.attr("id"), Some(seen.to_string().as_str()), "each once, in order");
                seen += 1;
            }
            _ => pings += 1,
        }
    }
    assert!(pings > 0, "it was asked");
}
