//! XEP-0202 Entity Time.

use starling_testkit::World;

/// §3: UTC and an offset.
pub(crate) async fn the_server_tells_the_time(world: &World) {
    let alice = world.user("alice").await.quiet_device("phone").await;
    let answer = alice.ask("<iq to='localhost' type='get' id='t1'><time xmlns='urn:xmpp:time'/></iq>").await;
    let time = answer.child("time").unwrap();
    assert!(time.child("utc").is_some_and(|utc| utc.text.ends_with('Z')), "{answer}");
    assert_eq!(time.child("tzo").unwrap().text, "+00:00");
}
