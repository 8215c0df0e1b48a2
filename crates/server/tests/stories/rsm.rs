//! XEP-0059 Result Set Management, on an archive.

use starling_testkit::World;

use crate::mam::query;

fn set(content: &str) -> String {
    format!("<set xmlns='http://jabber.org/protocol/rsm'>{content}</set>")
}

/// §2.7, §2.5: nothing is wanted but to know whether there is anything; the last page; a page by number is not served.
pub(crate) async fn what_can_be_asked_of_a_set(world: &World) {
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    for n in 0..3 {
        bob.send(&format!("<message to='${{alice}}' type='chat'><body>{n}</body></message>")).await;
    }
    bob.expect_silence().await;
    let phone = alice.quiet_device("phone").await;

    let none = query(&phone, &set("<max>0</max>")).await;
    assert!(none.results.is_empty());
    let fin = none.iq.child("fin").unwrap();
    assert_eq!(fin.attr("complete"), None, "there is more: {fin}");
    assert!(fin.child("set").is_some_and(|set| set.child("first").is_none() && set.child("last").is_none()));
    assert_eq!(none.end("count").as_deref(), Some("3"), "§2.6: {fin}");

    assert_eq!(query(&phone, &set("<max>2</max><before/>")).await.bodies(), ["1", "2"]);
    let ids = query(&phone, "").await.ids();
    let middle = set(&format!("<max>5</max><after>{}</after><before>{}</before>", ids[0], ids[2]));
    assert_eq!(query(&phone, &middle).await.bodies(), ["1"]);
    for (content, condition) in
        [("<index>1</index>", "feature-not-implemented"), ("<max>many</max>", "bad-request")]
    {
        let found = query(&phone, &set(content)).await;
        assert!(found.iq.find(&["error", condition]).is_some(), "{}", found.iq);
    }
}

/// §2.1: the server has a limit of its own, and says by the missing `complete` that it was reached.
pub(crate) async fn a_page_has_a_size(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    for n in 0..60 {
        alice.send(&format!("<message to='${{alice}}' type='chat'><body>{n}</body></message>")).await;
    }
    alice.expect_silence().await;

    for content in [String::new(), set("<max>1000</max>")] {
        let page = query(&alice, &content).await;
        assert_eq!(page.results.len(), 50);
        assert_eq!(page.iq.child("fin").unwrap().attr("complete"), None);
        let last = page.ids().pop().unwrap();
        let rest = query(&alice, &set(&format!("<after>{last}</after>"))).await;
        assert_eq!((rest.results.len(), rest.iq.child("fin").unwrap().attr("complete")), (10, Some("true")));
    }
}
