//! XEP-0030 Service Discovery.

use starling_testkit::{Tree, World};

use super::subscription::befriend;

const INFO: &str = "http://jabber.org/protocol/disco#info";
const ITEMS: &str = "http://jabber.org/protocol/disco#items";

pub(crate) fn ask(what: &str, to: &str) -> String {
    format!("<iq type='get' {to} id='d1'><query xmlns='http://jabber.org/protocol/disco#{what}'/></iq>")
}

fn features(answer: &Tree) -> Vec<&str> {
    answer.all("feature").iter().map(|feature| feature.attr("var").unwrap()).collect()
}

/// §3.1: an identity, and each feature once; whatever answers here is among them.
pub(crate) async fn the_server_says_what_it_can(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let info = alice.ask(&ask("info", "to='localhost'")).await;
    let identity = info.find(&["query", "identity"]).unwrap();
    assert_eq!((identity.attr("category"), identity.attr("type")), (Some("server"), Some("im")));
    let features = features(&info);
    for feature in [
        INFO,
        ITEMS,
        "jabber:iq:last",
        "jabber:iq:private",
        "jabber:iq:register",
        "jabber:iq:version",
        "urn:xmpp:blocking",
        "urn:xmpp:carbons:2",
        "urn:xmpp:ping",
        "urn:xmpp:time",
        "vcard-temp",
    ] {
        assert_eq!(features.iter().filter(|one| **one == feature).count(), 1, "{feature} in {features:?}");
    }
    let items = alice.ask(&ask("items", "to='localhost'")).await;
    assert_eq!(items.attr("type"), Some("result"), "{items}");
    let unknown = alice.ask("<iq type='get' to='localhost' id='n1'><query xmlns='http://jabber.org/protocol/disco#info' node='nothing'/></iq>").await;
    assert!(unknown.find(&["error", "item-not-found"]).is_some(), "{unknown}");
    let set = alice.ask("<iq type='set' to='localhost' id='n2'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>").await;
    assert!(set.find(&["error", "not-allowed"]).is_some(), "{set}");
}

/// §3.1, §4.1: to its user and to those who may see the presence: what it is, and which devices are there.
pub(crate) async fn an_account_says_what_it_can(world: &World) {
    let account = world.user("alice").await;
    let alice = account.device("phone").await;
    let bob = world.user("bob").await.device("desk").await;
    account.quiet_device("hidden").await;
    befriend(&alice, &bob).await;
    for (device, to) in [(&alice, ""), (&alice, "to='${alice}'"), (&bob, "to='${alice}'")] {
        device.send(&ask("info", to)).await;
        let info = device.expect("<iq type='result' from='${alice}'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='account' type='registered'/></query></iq>").await;
        assert!(features(&info).contains(&INFO), "{info}");
        device.send(&ask("items", to)).await;
        let items = device.expect("<iq type='result' from='${alice}'><query xmlns='http://jabber.org/protocol/disco#items'><item jid='${alice/phone}'/></query></iq>").await;
        assert_eq!(items.all("item").len(), 1, "{items}");
    }
}

/// §8: of an account that it may not see and of one that does not exist a stranger hears the same.
pub(crate) async fn a_stranger_learns_nothing(world: &World) {
    let alice = world.user("alice").await.device("phone").await;
    let mallory = world.user("mallory").await.quiet_device("desk").await;
    for whose in ["${alice}", "nobody@localhost"] {
        for node in ["", "node='http://jabber.org/protocol/commands'"] {
            let query = |what: &str| {
                format!(
                    "<iq type='get' to='{whose}' id='d1'><query xmlns='http://jabber.org/protocol/disco#{what}' {node}/></iq>"
                )
            };
            mallory.send(&query("info")).await;
            mallory.expect(&format!("<iq type='error' from='{whose}' id='d1'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")).await;
            mallory.send(&query("items")).await;
            let items = mallory.expect(&format!("<iq type='result' from='{whose}' id='d1'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")).await;
            assert!(items.all("item").is_empty(), "{items}");
        }
    }
    alice.expect_silence().await;
}
