//! What an operator sees of a cluster: its nodes, its sessions, and where a message is, whichever router is asked.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use starling_testkit::{Cluster, ClusterOptions, Connection, Part, Received, Tree};

use crate::kit::{binary, calm, settles};

const PATIENCE: Duration = Duration::from_secs(60);
const ROUTERS: [Part; 2] = [Part::Router(0), Part::Router(1)];
const ALL: [Part; 4] = [Part::Manager(0), Part::Manager(1), Part::Router(0), Part::Router(1)];

/// Asks until the answer is as it should be; what is refused is an answer with an `error`.
async fn until(
    what: &str,
    cluster: &Cluster,
    part: Part,
    request: Value,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    let begun = Instant::now();
    loop {
        let asked = cluster.ask(part, request.clone()).await;
        let answer = asked.unwrap_or_else(|refused| json!({"error": refused.to_string()}));
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
    let mut nodes = answer["nodes"].as_array().into_iter().flatten();
    nodes.find(|node| node["name"] == name).unwrap_or(&Value::Null)
}

/// What was done, and by whom: the number of the router that stored it is the store's choice.
fn trail(answer: &Value) -> Vec<String> {
    let shown = |event: &Value| {
        let [what, node] = ["what", "node"].map(|key| event[key].as_str().unwrap());
        format!("{what} by {}", if node.starts_with("router-") { "a router" } else { node })
    };
    answer["trail"].as_array().into_iter().flatten().map(shown).collect()
}

fn missing(answer: &Value) -> Vec<&str> {
    answer["missing"].as_array().into_iter().flatten().filter_map(|one| one["node"].as_str()).collect()
}

/// A message from Alice to Bob, and the question where it is.
async fn sent(alice: &mut Connection, bob: &mut Connection) -> Value {
    let message =
        "<message to='bob@localhost' type='chat'><body>nobody else is to read this</body></message>";
    alice.write(message).await.unwrap();
    let came = next(bob, "message").await;
    let id = came.child("stanza-id").unwrap().attr("id").unwrap().to_owned();
    json!({"op": "message", "jid": "bob@localhost", "id": id})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_found_at_any_process_and_sessions_at_any_router() {
    let options = ClusterOptions::default();
    let cluster = Cluster::start(&binary(), &options).await.unwrap();
    let usage = calm(&cluster).await;
    let (alice, bob) = (enter(&cluster, "alice", 0).await, enter(&cluster, "bob", 1).await);

    for part in ALL {
        let is_whole = |answer: &Value| {
            let manager = |name| {
                let node = named(answer, name);
                node["sessions"] == 1 && node["links"] == 2
            };
            let router = |name| named(answer, name)["links"] == 2;
            manager("manager-0") && manager("manager-1") && router("router-0") && router("router-1")
        };
        let nodes = until("all nodes", &cluster, part, json!({"op": "node-list"}), is_whole).await;
        let all = nodes["nodes"].as_array().unwrap();
        assert_eq!(all.len(), 4, "{nodes}");
        assert!(
            all.iter().all(|node| node["state"] == "serving" && node["version"] == env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(named(&nodes, "manager-1")["roles"], "connection-manager");
        assert_eq!(named(&nodes, "router-1")["roles"], "session-router");
        assert!(missing(&nodes).is_empty(), "{nodes}");
    }
    for router in ROUTERS {
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
    cluster.ask(Part::Manager(0), json!({"op": "drain-start", "now": true})).await.unwrap();
    let is_gone = |answer: &Value| named(answer, "manager-0")["state"] == "drained";
    until("a drain is seen", &cluster, Part::Router(1), json!({"op": "node-list"}), is_gone).await;
    drop((alice, bob));
    settles(&cluster, &usage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_process_is_drained_from_any_other() {
    let mut cluster = Cluster::start(&binary(), &ClusterOptions::default()).await.unwrap();
    let _alice = enter(&cluster, "alice", 0).await;
    let of = |op: &str, node: &str| json!({"op": op, "node": node});
    let has_error = |answer: &Value| answer["error"].is_string();
    let is = |state: &'static str| move |answer: &Value| answer["state"] == state;
    // A manager from the other one, and from a router; then a router, to which nobody has a link any more.
    for (node, other, third) in
        [("manager-0", Part::Manager(1), Part::Router(0)), ("router-0", Part::Router(1), Part::Manager(1))]
    {
        for asked in [other, third] {
            let serves =
                until("it is reached", &cluster, asked, of("drain-status", node), is("serving")).await;
            assert_eq!(serves["node"], node, "{serves}");
        }
        let start = json!({"op": "drain-start", "node": node, "now": true});
        until("it begins", &cluster, other, start, |begun| begun["node"] == node).await;
        let gone = until("it is empty", &cluster, third, of("drain-status", node), is("drained")).await;
        let left = if node == "manager-0" { "sessions" } else { "links" };
        assert_eq!(gone[left], 0, "{gone}");
        let is_called_off =
            |back: &Value| back["state"] == "serving" || back.to_string().contains("nothing drains");
        until("it is called off", &cluster, other, of("drain-abort", node), is_called_off).await;
        until("it serves", &cluster, third, of("drain-status", node), is("serving")).await;
        let refused = until("nothing more", &cluster, third, of("drain-abort", node), has_error).await;
        let why = refused["error"].as_str().unwrap();
        assert!(why.contains(node) && why.contains("nothing drains"), "{refused}");
    }
    let unknown = until("nobody", &cluster, Part::Router(0), of("drain-start", "router-7"), has_error).await;
    assert!(unknown["error"].as_str().unwrap().contains("no process is called"), "{unknown}");
    cluster.kill(Part::Manager(0)).await.unwrap();
    let dead = until("nobody", &cluster, Part::Manager(1), of("drain-status", "manager-0"), has_error).await;
    assert!(dead["error"].as_str().unwrap().contains("manager-0: "), "{dead}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_an_operator_is_told_what_is_known() {
    let mut cluster = Cluster::start(&binary(), &ClusterOptions::default()).await.unwrap();
    let _alice = enter(&cluster, "alice", 0).await;
    let all = ["manager-0", "manager-1", "router-0", "router-1"];
    let names = |answer: &Value| -> Vec<String> {
        let nodes = answer["nodes"].as_array().into_iter().flatten();
        nodes.filter_map(|node| node["name"].as_str()).map(str::to_owned).collect()
    };
    for router in ROUTERS {
        until("all nodes", &cluster, router, json!({"op": "node-list"}), |answer| names(answer) == all).await;
    }
    cluster.redis().kill().await.unwrap();
    cluster.kill(Part::Manager(1)).await.unwrap(); // of which Redis would know
    for part in [Part::Manager(0), Part::Router(0), Part::Router(1)] {
        let is_told = |nodes: &Value| {
            let gone = missing(nodes);
            let is_named = gone.contains(&"manager-1") || named(nodes, "manager-1")["state"] == "silent";
            let is_live = named(nodes, "manager-0")["sessions"] == 1;
            let are_blind = gone.contains(&"router-0") && gone.contains(&"router-1"); // they have no Redis
            let are_listed = all.iter().all(|name| gone.contains(name) || !named(nodes, name).is_null());
            are_listed && is_named && is_live && are_blind
        };
        until("what is known", &cluster, part, json!({"op": "node-list"}), is_told).await;
    }
    let asked = json!({"op": "session-list", "jid": "alice@localhost"});
    let listed = cluster.ask(Part::Router(0), asked).await.unwrap();
    let held: Vec<_> = listed["sessions"].as_array().into_iter().flatten().collect();
    assert_eq!(held.len(), 1, "{listed}");
    assert_eq!((&held[0]["jid"], &held[0]["node"]), (&json!("alice@localhost/phone"), &json!("manager-0")));
    let lacks: Vec<_> = listed["missing"].as_array().into_iter().flatten().collect();
    let of_router = lacks.iter().find(|one| one["node"] == "router-0").unwrap();
    assert!(of_router["why"].as_str().unwrap().starts_with("sessions that wait to be resumed: "), "{listed}");
    let of_bob = json!({"op": "session-list", "jid": "bob@localhost"});
    let listed = cluster.ask(Part::Router(1), of_bob).await.unwrap();
    assert!(listed["sessions"].as_array().unwrap().is_empty() && missing(&listed).contains(&"router-1"));
    let status = cluster.ask(Part::Router(0), json!({"op": "status"})).await.unwrap();
    assert!(status["pid"].is_u64() && status.get("sessions").is_none(), "{status}");
    assert_eq!(missing(&status), ["router-0"], "{status}");
    assert!(status["missing"][0]["why"].as_str().unwrap().starts_with("sessions: "), "{status}");
}

/// Spans go nowhere here: who follows what is all that matters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_followed_changes_in_all_processes_that_are_there() {
    let config = "[otlp]\nendpoint = \"http://127.0.0.1:9\"\nsample-rate = 0.0\n".to_owned();
    let options = ClusterOptions { config, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&binary(), &options).await.unwrap();
    let follows = |answer: &Value, rate: f64, nodes: &[&str]| {
        answer["rate"] == rate && answer["reached"] == json!(nodes)
    };
    let all = ["manager-0", "manager-1", "router-0", "router-1"];
    for (part, rate) in ALL.into_iter().zip([0.1, 0.2, 0.3, 0.4]) {
        let request = json!({"op": "trace-change", "rate": rate});
        until("it reaches all", &cluster, part, request, |answer| follows(answer, rate, &all)).await;
        for other in ALL {
            let is_same = |status: &Value| follows(status, rate, &all) && missing(status).is_empty();
            until("all say so", &cluster, other, json!({"op": "trace-status"}), is_same).await;
        }
    }
    cluster.kill(Part::Manager(1)).await.unwrap();
    let request = json!({"op": "trace-change", "follow": "alice@localhost"});
    let is_named = |answer: &Value| {
        follows(answer, 0.4, &["manager-0", "router-0", "router-1"]) && missing(answer) == ["manager-1"]
    };
    until("who is dead is named", &cluster, Part::Manager(0), request, is_named).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_followed_at_any_process_and_whoever_does_not_answer_is_named() {
    let mut cluster = Cluster::start(&binary(), &ClusterOptions::default()).await.unwrap();
    let (mut alice, mut bob) = (enter(&cluster, "alice", 0).await, enter(&cluster, "bob", 1).await);
    let request = sent(&mut alice, &mut bob).await;
    let written = ["stored by a router", "written by manager-1"];
    for part in ALL {
        let is_whole = |found: &Value| trail(found) == written && missing(found).is_empty();
        let found = until("two of three steps", &cluster, part, request.clone(), is_whole).await;
        assert_eq!(found["state"], "waits for a device", "{found}");
        let held =
            json!([{"device": "bob@localhost/phone", "node": "manager-1", "attached": true, "number": 2}]);
        assert_eq!(found["held-by"], held, "{found}");
        assert_eq!(found["trail"][1]["device"], "bob@localhost/phone");
        assert!(!found.to_string().contains("nobody else"), "{found}");
    }
    bob.write("<a xmlns='urn:xmpp:sm:3' h='2'/>").await.unwrap(); // his own presence, and the message
    let acknowledged = ["stored by a router", "written by manager-1", "acknowledged by manager-1"];
    for part in ALL {
        let is_done = |found: &Value| {
            found["state"] == "acknowledged by a device"
                && trail(found) == acknowledged
                && missing(found).is_empty()
        };
        let found = until("all three steps", &cluster, part, request.clone(), is_done).await;
        assert_eq!(found["held-by"], json!([]), "{found}");
    }

    cluster.pause(Part::Manager(1)).unwrap(); // it lives, and its connections are up
    let done = json!("acknowledged by a device"); // the row says so
    for part in [Part::Manager(0), Part::Router(0)] {
        let is_named = |found: &Value| {
            trail(found) == written[..1] && missing(found) == ["manager-1"] && found["state"] == done
        };
        until("who is paused is named", &cluster, part, request.clone(), is_named).await;
    }
    cluster.go_on(Part::Manager(1)).unwrap();
    cluster.kill(Part::Manager(1)).await.unwrap();
    cluster.kill(Part::Router(0)).await.unwrap();
    for part in [Part::Manager(0), Part::Router(1)] {
        let is_named = |found: &Value| missing(found) == ["manager-1", "router-0"] && found["state"] == done;
        until("who is dead is named", &cluster, part, request.clone(), is_named).await;
    }
}
