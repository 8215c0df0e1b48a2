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
    let refused = bob
        .ask("<iq to='${alice}' type='set' id='s2'><vCard xmlns='vcard-temp'><FN>Mallory</FN></vCard></iq>")
        .await;
    assert_eq!(refused.attr("type"), Some("error"), "{refused}");
}

/// §3.1: who never made one has an empty one; who does not exist has none.
pub(crate) async fn none_is_empty(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let own = alice.ask("<iq type='get' id='g1'><vCard xmlns='vcard-temp'/></iq>").await;
    assert_eq!(own.attr("type"), Some("result"), "{own}");
    assert!(own.child("vCard").unwrap().children.is_empty());
    let nobody =
        alice.ask("<iq to='nobody@localhost' type='get' id='g2'><vCard xmlns='vcard-temp'/></iq>").await;
    assert_eq!(nobody.attr("type"), Some("error"), "{nobody}");
}
