//! XEP-0092 Software Version.

use std::path::Path;

use starling_testkit::{ServerOptions, World};

pub(crate) async fn the_server_names_itself(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let answer =
        alice.ask("<iq to='localhost' type='get' id='v1'><query xmlns='jabber:iq:version'/></iq>").await;
    let query = answer.child("query").unwrap();
    assert_eq!(query.child("name").unwrap().text, "Starling");
    assert!(query.child("version").is_some_and(|version| !version.text.is_empty()), "{answer}");
}

/// §5: where it is not to be told, nobody hears that it could be.
pub(crate) async fn a_server_may_keep_it_to_itself(_: &World) {
    let options =
        ServerOptions { config: "[im]\ntell-version = false\n".to_owned(), ..ServerOptions::default() };
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap();
    let alice = world.user("alice").await.quiet_device("phone").await;
    let answer =
        alice.ask("<iq to='localhost' type='get' id='v1'><query xmlns='jabber:iq:version'/></iq>").await;
    assert!(answer.find(&["error", "service-unavailable"]).is_some(), "{answer}");
    let info = alice.ask("<iq to='localhost' type='get' id='d1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>").await;
    assert!(
        info.all("feature").iter().all(|feature| feature.attr("var") != Some("jabber:iq:version")),
        "{info}"
    );
}
