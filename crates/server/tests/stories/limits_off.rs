//! `docs/reference/limits.md`: a limit of 0 is none, for benchmarks.

use std::path::Path;
use std::time::{Duration, Instant};

use starling_testkit::{Device, Hash, Scram, ServerOptions, World};

use super::mam::query;
use super::sasl::{account, failed, stream};

const OFF: &str = "[im]\narchive-max-page = 0\nmax-sessions = 0\nmax-roster-items = 0\nmax-blocked = 0\n\
                   max-document-bytes = 0\nlogin-back-off = false\n\
                   [im.quotas]\noffline-messages = 0\noffline-bytes = 0\narchive-bytes = 0\n\
                   [limits]\nstanza-bytes = 0\nlogin-bytes = 0\ndepth = 0\nlogin-within = '0s'\nstanza-within = '0s'\n\
                   dead-after = '0s'\nstanzas-per-second = 0\nbytes-per-second = 0\nunauthenticated-per-address = 0\n\
                   [store]\nlog-max-stanzas = 0\nlog-max-bytes = 0\narchive-ttl = '0s'\nspool-ttl = '0s'\n\
                   [redis]\nlog-max-stanzas = 1000000000\nlog-max-bytes = 1000000000000\n";

async fn server() -> World {
    let options = ServerOptions { config: OFF.to_owned(), data_dir: None };
    World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap()
}

async fn is_taken(device: &Device<'_>, request: &str) {
    let answer = device.ask(&format!("<iq type='set' id='s'>{request}</iq>")).await;
    assert_eq!(answer.attr("type"), Some("result"), "{answer}");
}

/// Nothing of an account is too much: more than every default allows.
pub(crate) async fn an_account_has_no_limits(_: &World) {
    let world = server().await;
    let alice = world.user("alice").await;
    let mut devices = Vec::new();
    for n in 0..25 {
        devices.push(alice.quiet_device(&format!("device{n}")).await);
    }
    let phone = devices.first().unwrap();
    is_taken(phone, "<query xmlns='jabber:iq:roster'><item jid='bob@localhost'/></query>").await;
    let items: String = (0..1100).map(|n| format!("<item jid='b{n}@localhost'/>")).collect();
    is_taken(phone, &format!("<block xmlns='urn:xmpp:blocking'>{items}</block>")).await;
    let note = "x".repeat((1 << 20) + 1);
    is_taken(phone, &format!("<query xmlns='jabber:iq:private'><note xmlns='notes'>{note}</note></query>"))
        .await;
    let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
    is_taken(
        phone,
        &format!("<query xmlns='jabber:iq:private'><note xmlns='deep-notes'>{deep}</note></query>"),
    )
    .await;
}

/// Nor has a session's log, nor a page of the archive.
pub(crate) async fn a_log_and_a_page_have_no_limits(_: &World) {
    let world = server().await;
    let account = world.user("alice").await;
    let phone = account.quiet_device("phone").await;
    phone.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>").await;
    phone.expect("<enabled xmlns='urn:xmpp:sm:3'/>").await;
    phone.expect("<presence/>").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let messages: String = (0..1500)
        .map(|n| format!("<message to='${{alice}}' type='chat' id='m{n}'><body>hello</body></message>"))
        .collect();
    bob.send(&messages).await;
    let mut seen = 0;
    while seen < 1500 {
        let (stanza, _) = phone.next().await;
        if stanza.name == "message" {
            assert_eq!(stanza.attr("id"), Some(format!("m{seen}").as_str()), "nothing was acknowledged");
            seen += 1;
        }
    }
    let found = query(&account.quiet_device("laptop").await, "").await;
    assert!(found.results.len() == 1500 && found.is_complete(), "{}", found.results.len());
}

/// A wrong password is told at once, however many there were.
pub(crate) async fn a_failed_login_is_not_slowed_down(_: &World) {
    let world = server().await;
    let alice = account(&world, "alice").await;
    let wrong = Scram::new(Hash::Sha256, &alice, "wrong");
    let begun = Instant::now();
    for _ in 0..4 {
        let (mut connection, _) = stream(&world, 11).await;
        for _ in 0..3 {
            failed(&connection.scram(&wrong).await.unwrap(), "not-authorized");
        }
    }
    // With the back-off it would take half a minute.
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}
