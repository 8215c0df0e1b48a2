//! What an operator sees of a cluster: its nodes, its sessions, and where a message is, whichever router is asked.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use starling_testkit::{Cluster, ClusterOptions, Connection, Part, Received, Tree};

use crate::kit::binary;

const PATIENCE: Duration = Duration::from_secs(60);
const ROUTERS: [Part; 2] = [Part::Router(0), Part::Router(1)];

/// Asks until the answer is as it should be.
async fn until(
    what: &str,
    cluster: &Cluster,
    part: Part,
    request: Value,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    let begun = Instant::now();
    loop {
        let answer = cluster.ask(part, request.clone()).await.unwrap();
        if is_so(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A session that may be resumed, at one manager.
async fn enter(cluster: &Cluster, name: &str, manager: usize) -> Connection {
    let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
    cluster.control(add).await.unwrap();
    let mut connection = Connection::open(cluster.hosts().nth(manager)).await.unwrap();
    connection.login("localhost", name, "secret").await.unwrap();
    connection.bind("phone").await.unwrap();
    connection.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>").await.unwrap();
    next(&mut connection, "presence").await;
    connection
}

async fn next(connection: &mut Connection, name: &str) -> Tree {
    loop {
        match connection.next(PATIENCE).await.unwrap() {
            Received::Element(tree, _) if tree.name == name => return tree,
            Received::Element(..) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn named<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let nodes = answer["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["name"] == name).unwrap_or(&Value::Null)
}

fn whats(answer: &Value) -> Vec<&str> {
    answer["trail"].as_array().unwrap().iter().filter_map(|event| event["what"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_sessions_and_messages_are_found_at_any_router() {
    let options = ClusterOptions::default();
    let cluster = Cluster::start(&binary(), &options).await.unwrap();
    let (mut alice, mut bob) = (enter(&cluster, "alice", 0).await, enter(&cluster, "bob", 1).await);

    for router in ROUTERS {
        let is_whole = |answer: &Value| {
            let manager = |name| {
                let node = named(answer, name);
                node["sessions"] == 1 && node["links"] == 2
            };
            let router = |name| named(answer, name)["links"] == 2;
            manager("manager-0") && manager("manager-1") && router("router-0") && router("router-1")
        };
        let nodes = until("all nodes", &cluster, router, json!({"op": "node-list"}), is_whole).await;
        let all = nodes["nodes"].as_array().unwrap();
        assert_eq!(all.len(), 4, "{nodes}");
        assert!(
            all.iter().all(|node| node["state"] == "serving" && node["version"] == env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(named(&nodes, "manager-1")["roles"], "connection-manager");
        assert_eq!(named(&nodes, "router-1")["roles"], "session-router");

        let listed = cluster.ask(router, json!({"op": "session-list"})).await.unwrap();
        let mut sessions: Vec<_> = listed["sessions"].as_array().unwrap().clone();
        sessions.sort_by_key(|session| session["jid"].to_string());
        let shown: Vec<_> =
            sessions.iter().map(|one| (&one["jid"], &one["node"], &one["attached"])).collect();
        assert_eq!(
            shown,
            [
                (&json!("alice@localhost/phone"), &json!("manager-0"), &json!(true)),
                (&json!("bob@localhost/phone"), &json!("manager-1"), &json!(true)),
            ]
        );
        let one = cluster.ask(router, json!({"op": "session-list", "limit": 1})).await.unwrap();
        assert_eq!((one["sessions"].as_array().unwrap().len(), &one["more"]), (1, &json!(true)));
        let of_bob = json!({"op": "session-list", "jid": "bob@localhost"});
        assert_eq!(cluster.ask(router, of_bob).await.unwrap()["sessions"].as_array().unwrap().len(), 1);
    }
    let refused = cluster.ask(Part::Manager(0), json!({"op": "node-list"})).await.unwrap_err();
    assert!(refused.to_string().contains("ask a session router"), "{refused}");

    let body = "nobody else is to read this";
    let message = format!("<message to='bob@localhost' type='chat'><body>{body}</body></message>");
    alice.write(&message).await.unwrap();
    let came = next(&mut bob, "message").await;
    let id = came.child("stanza-id").unwrap().attr("id").unwrap().to_owned();
    let request = json!({"op": "message", "jid": "bob@localhost", "id": id});
    for router in ROUTERS {
        let found = cluster.ask(router, request.clone()).await.unwrap();
        assert_eq!(found["state"], "waits for a device", "{found}");
        let held =
            json!([{"device": "bob@localhost/phone", "node": "manager-1", "attached": true, "number": 2}]);
        assert_eq!(found["held-by"], held, "{found}");
        assert!(!found.to_string().contains("nobody else"), "{found}");
    }
    let found = cluster.ask(Part::Manager(1), request.clone()).await.unwrap();
    assert_eq!(whats(&found), ["written"], "{found}");
    assert_eq!(found["trail"][0]["device"], "bob@localhost/phone");
    assert!(whats(&cluster.ask(Part::Manager(0), request.clone()).await.unwrap()).is_empty());

    bob.write("<a xmlns='urn:xmpp:sm:3' h='2'/>").await.unwrap(); // his own presence, and the message
    let is_acked = |found: &Value| whats(found) == ["written", "acknowledged"];
    until("the socket's end", &cluster, Part::Manager(1), request.clone(), is_acked).await;
    let mut trails = Vec::new();
    for router in ROUTERS {
        let is_done =
            |found: &Value| found["state"] == "acknowledged by a device" && found["held-by"] == json!([]);
        let found = until("the row's end", &cluster, router, request.clone(), is_done).await;
        trails.extend(whats(&found).into_iter().map(str::to_owned));
    }
    assert_eq!(trails, ["stored"], "by one of the routers, once");

    cluster.ask(Part::Manager(0), json!({"op": "drain-start", "now": true})).await.unwrap();
    let is_gone = |answer: &Value| named(answer, "manager-0")["state"] == "drained";
    until("a drain is seen", &cluster, Part::Router(1), json!({"op": "node-list"}), is_gone).await;
}
