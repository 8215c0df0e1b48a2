//! XEP-0054 vcard-temp.

use starling_testkit::World;

/// §3.2, §3.3.
pub(crate) async fn a_card_is_shown_to_others(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let set =
        alice.ask("<iq type='set' id='s1'><vCard xmlns='vcard-temp'><FN>Alice L.</FN></vCard></iq>").await;
    assert_eq!(set.attr("type"), Some("result"), "{set}");

    let bob = world.user("bob").await.quiet_device("desk").await;
    let card = bob.ask("<iq to='${alice}' type='get' id='g1'><vCard xmlns='vcard-temp'/></iq>").await;
    assert_eq!(card.find(&["vCard", "FN"]).unwrap().text, "Alice L.");
    let own = alice.ask("<iq type='get' id='g2'><vCard xmlns='vcard-temp'/></iq>").await;
    assert_eq!(own.find(&["vCard", "FN"]).unwrap().text, "Alice L.");
}

/// §3.1: who never made one has an empty one.
pub(crate) async fn none_is_empty(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let own = alice.ask("<iq type='get' id='g1'><vCard xmlns='vcard-temp'/></iq>").await;
    assert_eq!(own.attr("type"), Some("result"), "{own}");
    assert!(own.child("vCard").unwrap().children.is_empty());
}

/// §3.3: who has no card and who does not exist cannot be told apart.
pub(crate) async fn nobodys_card_tells_nothing(world: &World) {
    world.user("bob").await;
    let alice = world.user("alice").await.quiet_device("phone").await;
    for whose in ["${bob}", "nobody@localhost"] {
        alice.send(&format!("<iq to='{whose}' type='get' id='g1'><vCard xmlns='vcard-temp'/></iq>")).await;
        alice.expect(&format!("<iq from='{whose}' type='error' id='g1'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")).await;
    }
}

/// §3.2: nobody changes the card of another.
pub(crate) async fn anothers_card_is_closed(world: &World) {
    world.user("bob").await;
    let mallory = world.user("mallory").await.quiet_device("desk").await;
    for whose in ["${bob}", "nobody@localhost"] {
        mallory
            .send(&format!(
                "<iq to='{whose}' type='set' id='s1'><vCard xmlns='vcard-temp'><FN>M</FN></vCard></iq>"
            ))
            .await;
        mallory.expect("<iq type='error' id='s1'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>").await;
    }
}
