//! A server that keeps no archives (`im.archive = false`).

use std::path::Path;

use starling_testkit::{ServerOptions, World};

use super::mam::query;

/// XEP-0313 §7, XEP-0030 §7: where no archives are kept, none is told of and none answers; XEP-0359 §3: nor are ids given.
pub(crate) async fn where_no_archive_is_kept_none_is_told_of(_: &World) {
    let options = ServerOptions { config: "[im]\narchive = false\n".to_owned(), data_dir: None };
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap();
    let account = world.user("alice").await;
    let bob = world.user("bob").await.device("desk").await;
    let alice = account.device("phone").await;
    for to in ["${alice}", "localhost"] {
        let info = alice
            .ask(&format!(
                "<iq type='get' id='d' to='{to}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
            ))
            .await;
        let features = info.all("feature");
        assert!(!features.is_empty(), "{info}");
        for feature in features.iter().filter_map(|feature| feature.attr("var")) {
            let is_archive = ["urn:xmpp:mam:", "urn:xmpp:sid:", "http://jabber.org/protocol/rsm"]
                .iter()
                .any(|prefix| feature.starts_with(prefix));
            assert!(!is_archive, "{feature}");
        }
    }
    assert_eq!(query(&alice, "").await.error(), "service-unavailable");
    for request in [
        "<iq type='get' id='p'><prefs xmlns='urn:xmpp:mam:2'/></iq>",
        "<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='always'/></iq>",
        "<iq type='get' id='p'><metadata xmlns='urn:xmpp:mam:2'/></iq>",
        "<iq type='get' id='p'><query xmlns='urn:xmpp:mam:2'/></iq>",
    ] {
        let answer = alice.ask(request).await;
        assert!(answer.find(&["error", "service-unavailable"]).is_some(), "{request}: {answer}");
    }
    bob.send("<message to='${alice}' type='chat'><body>live</body></message>").await;
    let live = alice.expect("<message><body>live</body></message>").await;
    assert!(live.child("stanza-id").is_none(), "{live}");
    let carol = world.user("carol").await;
    bob.send("<message to='${carol}' type='chat'><body>late</body></message>").await;
    bob.expect_silence().await;
    let later = carol.device("phone").await.expect("<message><body>late</body></message>").await;
    assert!(later.child("stanza-id").is_none(), "{later}");
}
