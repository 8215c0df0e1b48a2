//! XEP-0012 Last Activity.

use std::time::Duration;

use starling_testkit::{Device, Tree, World};

use super::subscription::befriend;

const FORBIDDEN: &str = "<iq type='error'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";

fn ask(to: &str) -> String {
    format!("<iq to='{to}' type='get' id='l1'><query xmlns='jabber:iq:last'/></iq>")
}

/// §3: 0 for who is there, and then for how long it is gone and what it said.
pub(crate) async fn a_contact_asks_when_somebody_went(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    befriend(&alice, &bob).await;
    alice.send(&ask("${bob}")).await;
    let there = alice
        .expect("<iq type='result' from='${bob}'><query xmlns='jabber:iq:last' seconds='0'/></iq>")
        .await;
    assert_eq!(there.child("query").unwrap().text, "");

    bob.send("<presence type='unavailable'><status>gone &amp; away</status></presence>").await;
    alice.expect("<presence from='${bob/desk}' type='unavailable'/>").await;
    bob.expect("<presence from='${bob/desk}' type='unavailable'/>").await;

    let gone = told_at_last(&alice, "${bob}", "gone & away").await;
    let seconds: u64 = gone.child("query").unwrap().attr("seconds").unwrap().parse().unwrap();
    assert!(seconds < 120, "{gone}");
    let own = bob.ask("<iq type='get' id='l2'><query xmlns='jabber:iq:last'/></iq>").await;
    assert_eq!(own.child("query").unwrap().text, "gone & away");
}

/// The answer that holds these words. A write of the store is not waited for when somebody goes: it may be told a little
/// later (`ports::last_activity`).
async fn told_at_last(device: &Device<'_>, whose: &str, words: &str) -> Tree {
    for _ in 0..100 {
        let answer = device.ask(&ask(whose)).await;
        if answer.child("query").is_some_and(|query| query.text == words) {
            return answer;
        }
        assert!(answer.find(&["error", "item-not-found"]).is_some(), "{answer}");
        assert_eq!(device.poll(Duration::from_millis(50)).await, None);
    }
    panic!("{whose} went, and nobody is told when");
}

/// §3, §4, §9: whether or not there is such an account or such a session, and also of who blocks the asker.
pub(crate) async fn a_stranger_may_not_ask(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let mallory = world.user("mallory").await.quiet_device("desk").await;
    for to in ["${alice}", "${alice/phone}", "${alice}/elsewhere", "nobody@localhost", "nobody@localhost/x"] {
        mallory.send(&ask(to)).await;
        mallory.expect(FORBIDDEN).await;
    }
    alice
        .ask("<iq type='set' id='b1'><block xmlns='urn:xmpp:blocking'><item jid='${mallory}'/></block></iq>")
        .await;
    mallory.send(&ask("${alice}")).await;
    mallory.expect(FORBIDDEN).await;
    alice.expect_silence().await;
}

/// §4: a contact's request reaches the device itself.
pub(crate) async fn a_device_answers_for_itself(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    befriend(&alice, &bob).await;
    bob.send(&ask("${alice/phone}")).await;
    alice.expect("<iq type='get' from='${bob/desk}' id='l1'><query xmlns='jabber:iq:last'/></iq>").await;
}

/// §5: for how long the server runs.
pub(crate) async fn the_server_says_how_long_it_runs(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let answer = alice.ask(&ask("localhost")).await;
    let query = answer.child("query").unwrap();
    assert!(query.attr("seconds").unwrap().parse::<u64>().unwrap() < 24 * 3600, "{answer}");
    assert_eq!(query.text, "");
}
