//! RFC 6120 §8.3.3.18: past its quota an account takes nothing more, and the sender is told before anything is acknowledged.

use std::path::Path;

use starling_testkit::{Device, ServerOptions, World};

use crate::mam::query;

/// A server of its own, with these quotas.
async fn server(quotas: &str) -> World {
    let options = ServerOptions { config: format!("[im.quotas]\n{quotas}\n"), data_dir: None };
    World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap()
}

/// Sends, and says whether it was taken.
async fn is_taken(from: &Device<'_>, to: &str, body: &str) -> bool {
    from.send(&format!("<message to='{to}' type='chat' id='q'><body>{body}</body></message>")).await;
    from.send("<iq type='get' id='after'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    let (first, _) = from.next().await;
    if first.name == "iq" {
        return true;
    }
    assert_eq!((first.attr("type"), first.attr("id")), (Some("error"), Some("q")), "{first}");
    let error = first.child("error").unwrap();
    assert!(error.attr("type") == Some("wait") && error.child("resource-constraint").is_some(), "{first}");
    from.expect("<iq id='after'/>").await;
    false
}

/// So many messages wait for who is not there; when they are collected, more may come.
pub(crate) async fn so_many_messages_wait(_: &World) {
    let world = server("offline-messages = 3").await;
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    for n in 0..5 {
        assert_eq!(is_taken(&bob, "${alice}", &n.to_string()).await, n < 3, "{n}");
    }
    assert_eq!(query(&bob, "").await.bodies(), ["0", "1", "2"], "what was refused was not said");

    let phone = alice.device("phone").await;
    for n in 0..3 {
        phone.expect(&format!("<message><body>{n}</body></message>")).await;
    }
    phone.expect_silence().await; // acknowledged
    assert!(is_taken(&bob, "${alice}", "there").await);
    phone.expect("<message><body>there</body></message>").await;
    phone.expect_silence().await;
    phone.close().await;
    assert!(is_taken(&bob, "${alice}", "later").await);
}

/// Also where they come at once: each counts as it comes, for who waits, and for both archives.
pub(crate) async fn a_batch_is_counted_one_by_one(_: &World) {
    let all = |count: usize, to: &str, body: &str| -> String {
        let message = |n| format!("<message to='{to}' type='chat' id='{n}'><body>{body}</body></message>");
        (0..count).map(message).collect()
    };
    let world = server("offline-messages = 3").await;
    world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.send(&all(30, "${alice}", "hi")).await;
    for refused in 3..30 {
        bob.expect(&format!("<message type='error' id='{refused}'><error><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")).await;
    }
    bob.expect_silence().await;

    // Alice's archive is as full as the sender's own: whoever looks first refuses.
    let world = server("archive-bytes = 20000").await;
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    bob.send(&all(20, "${alice}", &"x".repeat(4000))).await;
    let mut refused = Vec::new();
    while refused.len() < 15 {
        let error = bob.expect("<message type='error'><error type='wait'/></message>").await;
        refused.push(error.attr("id").unwrap().parse::<usize>().unwrap());
    }
    bob.expect_silence().await;
    refused.sort_unstable();
    assert!(refused.iter().copied().eq(5..20), "{refused:?}");
    let phone = alice.quiet_device("phone").await;
    assert_eq!(query(&phone, "").await.results.len(), 5);
    // Only her own is full: nobody else's copies stand in the way.
    phone.send(&all(2, "${alice}", "note to myself")).await;
    for refused in 0..2 {
        phone.expect(&format!("<message type='error' id='{refused}'><error/></message>")).await;
    }
    phone.expect_silence().await;
}

/// And so many bytes.
pub(crate) async fn so_many_bytes_wait(_: &World) {
    let world = server("offline-bytes = 5000").await;
    world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let long = "x".repeat(3000);
    assert!(is_taken(&bob, "${alice}", &long).await);
    assert!(is_taken(&bob, "${alice}", &long).await, "the quota was not reached yet");
    assert!(!is_taken(&bob, "${alice}", "short").await);
}

/// A full archive takes nothing from others and lets its owner say nothing, but for what is not to be archived.
pub(crate) async fn an_archive_has_a_size(_: &World) {
    let world = server("archive-bytes = 50000").await;
    let alice = world.user("alice").await;
    let phone = alice.device("phone").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let carol = world.user("carol").await.device("tab").await;
    let long = "x".repeat(30_000);
    for sent in [true, true, false] {
        assert_eq!(is_taken(&bob, "${alice}", &long).await, sent);
        if sent {
            phone.expect("<message from='${bob/desk}'/>").await;
        }
    }
    assert!(!is_taken(&carol, "${alice}", "short").await, "her archive is full");
    assert!(!is_taken(&bob, "${carol}", "short").await, "and so is his own");
    carol.expect_silence().await;
    bob.send(
        "<message to='${alice}' type='chat'><body>unkept</body><no-store xmlns='urn:xmpp:hints'/></message>",
    )
    .await;
    phone.expect("<message><body>unkept</body></message>").await;
    assert_eq!(query(&phone, "").await.results.len(), 2);
}
