//! XEP-0092 Software Version.

use starling_testkit::World;

pub(crate) async fn the_server_names_itself(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let answer =
        alice.ask("<iq to='localhost' type='get' id='v1'><query xmlns='jabber:iq:version'/></iq>").await;
    let query = answer.child("query").unwrap();
    assert_eq!(query.child("name").unwrap().text, "Starling");
    assert!(query.child("version").is_some_and(|version| !version.text.is_empty()), "{answer}");
}
