//! A server that has no descriptor left: those who are in are served on, one line says so, and it recovers by itself.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use starling_testkit::{Connection, Received, Server};

use crate::starling::{ctl, server, until};

/// How many descriptors the server may have from now on; what it had is open still.
fn limit(server: &Server, descriptors: u64) {
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let limit = Rlimit { current: Some(descriptors), ..getrlimit(Resource::Nofile) };
    prlimit(pid, Resource::Nofile, limit).unwrap();
}

fn open_descriptors(server: &Server) -> u64 {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count() as u64
}

async fn greeted(connection: &mut Connection) -> bool {
    connection.header("localhost").await.unwrap();
    matches!(connection.poll(Duration::from_millis(500)).await, Ok(Some(Received::Header(_))))
}

#[tokio::test]
async fn who_is_in_is_served_on_and_others_get_in_when_there_is_room() {
    let server = server("").await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let mut alice = Connection::open(server.plain()).await.unwrap();
    alice.login("localhost", "alice", "secret").await.unwrap();
    alice.bind("phone").await.unwrap();
    limit(&server, open_descriptors(&server) + 3);

    let mut waiting = Vec::new();
    for _ in 0..12 {
        waiting.push(Connection::open(server.plain()).await.unwrap());
    }
    until("it says that it is full", async || server.log().contains("cannot accept clients")).await;

    for n in 0..5 {
        alice.write(&format!("<iq type='get' id='{n}'><ping xmlns='urn:xmpp:ping'/></iq>")).await.unwrap();
        let answer = alice.element("iq").await.unwrap();
        assert_eq!((answer.attr("type"), answer.attr("id")), (Some("result"), Some(n.to_string().as_str())));
    }
    let mut last = waiting.pop().unwrap();
    assert!(!greeted(&mut last).await, "there is no descriptor for it");
    assert_eq!(server.log().matches("cannot accept clients").count(), 1, "{}", server.log());

    limit(&server, 1000);
    let heard =
        async { while !matches!(last.next(Duration::from_secs(20)).await.unwrap(), Received::Header(_)) {} };
    tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
}
