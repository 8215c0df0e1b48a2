//! From one machine to a cluster (docs/how-to/grow.md): what users had, they have.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::json;
use starling_testkit::{Cluster, ClusterOptions, Connection, Part, Received, Server, ServerOptions, Tree};

use crate::kit::{binary, calm, settles};

const PATIENCE: Duration = Duration::from_secs(60);
const HELD: &str = "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>";

/// `starling ARGUMENTS`, with nothing of this process's environment that concerns it.
fn starling(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STARLING_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

fn copy(config: &Path, from: &Path) -> Output {
    starling(&["store", "copy", "--config", config.to_str().unwrap(), from.to_str().unwrap()])
}

#[track_caller]
fn refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains(why), "{output:?}");
}

async fn enter(address: std::net::SocketAddr, name: &str) -> Connection {
    let mut connection = Connection::open(address).await.unwrap();
    connection.login("localhost", name, "secret").await.unwrap();
    connection.bind("desk").await.unwrap();
    connection
}

/// Everything up to the answer of a request.
async fn ask(connection: &mut Connection, id: &str, request: &str) -> Vec<Tree> {
    connection.write(request).await.unwrap();
    let mut came = Vec::new();
    loop {
        match connection.next(PATIENCE).await.unwrap() {
            Received::Element(tree, _) => {
                let is_last = tree.name == "iq" && tree.attr("id") == Some(id);
                came.push(tree);
                if is_last {
                    assert_eq!(came.last().unwrap().attr("type"), Some("result"), "{came:?}");
                    return came;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn archived(connection: &mut Connection) -> Vec<String> {
    let query = "<iq type='set' id='m'><query xmlns='urn:xmpp:mam:2'/></iq>";
    let came = ask(connection, "m", query).await;
    came.iter().filter_map(|one| one.child("result")?.attr("id").map(str::to_owned)).collect()
}

async fn roster(connection: &mut Connection) -> String {
    let query = "<iq type='get' id='r'><query xmlns='jabber:iq:roster' ver=''/></iq>";
    ask(connection, "r", query).await.pop().unwrap().child("query").unwrap().to_string()
}

/// Alice has a contact, a vCard, a block list and an archive; a message waits for Bob. Returns what she reads of it.
async fn live(server: &Server) -> (Vec<String>, String) {
    for name in ["alice", "bob", "carol"] {
        let add = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
        server.control(add).await.unwrap();
    }
    let mut alice = enter(server.plain(), "alice").await;
    let contact = "<iq type='set' id='c'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='Bob'>\
                   <group>Friends</group></item></query></iq>";
    ask(&mut alice, "c", contact).await;
    ask(&mut alice, "v", &format!("<iq type='set' id='v'>{HELD}</iq>")).await;
    let block =
        "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='eve@localhost'/></block></iq>";
    ask(&mut alice, "b", block).await;
    let said: String = (1..=230)
        .map(|number| format!("<message to='bob@localhost' type='chat'><body>{number}</body></message>"))
        .collect();
    let ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
    ask(&mut alice, "p", &format!("{said}{ping}")).await;
    (archived_all(&mut alice).await, roster(&mut alice).await)
}

/// All pages.
async fn archived_all(connection: &mut Connection) -> Vec<String> {
    let mut ids = archived(connection).await;
    loop {
        let Some(last) = ids.last() else { return ids };
        let query = format!(
            "<iq type='set' id='m'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>\
             <after>{last}</after></set></query></iq>"
        );
        let came = ask(connection, "m", &query).await;
        let next: Vec<String> =
            came.iter().filter_map(|one| one.child("result")?.attr("id").map(str::to_owned)).collect();
        if next.is_empty() {
            return ids;
        }
        ids.extend(next);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_machine_becomes_a_cluster_and_its_users_notice_nothing() {
    let kept = tempfile::tempdir().unwrap();
    let options = ServerOptions { data_dir: Some(kept.path().to_owned()), ..ServerOptions::default() };
    let mut server = Server::start(&binary(), &options).await.unwrap();
    let (archive, contacts) = live(&server).await;
    assert_eq!(archive.len(), 230);

    let from = kept.path().to_owned();
    let anything = from.join("any.toml");
    std::fs::write(&anything, "").unwrap();
    refused(&copy(&anything, &from), "another process");
    server.stop().await.unwrap();
    let mut stores = None;
    let options = ClusterOptions { managers: 1, routers: 1, ..ClusterOptions::default() };
    let cluster = Cluster::start_filled(&binary(), &options, |config| {
        for _ in 0..2 {
            let done = copy(config, &from);
            let said = String::from_utf8_lossy(&done.stdout).into_owned();
            assert!(done.status.success(), "{done:?}");
            let whole = "3 accounts, 1 contacts, 1 documents, 460 archived messages, 0 messages in the spool";
            assert!(said.contains(whole), "{said}");
        }
        stores = Some(config.to_owned());
    })
    .await
    .unwrap();
    let stores = stores.unwrap();
    refused(&copy(&stores, &from), "Redis is not empty");

    let usage = calm(&cluster).await;
    let mut alice = enter(cluster.hosts().nth(0), "alice").await;
    assert_eq!(archived_all(&mut alice).await, archive, "under the ids that they had");
    assert_eq!(roster(&mut alice).await, contacts, "with its version");
    let held = ask(&mut alice, "v", "<iq type='get' id='v'><vCard xmlns='vcard-temp'/></iq>").await;
    assert_eq!(held[0].child("vCard").unwrap().child("FN").map(|name| name.text.as_str()), Some("Alice"));
    let blocked =
        ask(&mut alice, "b", "<iq type='get' id='b'><blocklist xmlns='urn:xmpp:blocking'/></iq>").await;
    assert!(blocked[0].to_string().contains("eve@localhost"), "{blocked:?}");

    let mut bob = enter(cluster.hosts().nth(0), "bob").await;
    bob.write("<presence/>").await.unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < 230 {
        match bob.next(PATIENCE).await.unwrap() {
            Received::Element(tree, _) => bodies.extend(tree.child("body").map(|body| body.text.clone())),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bodies, (1..=230).map(|number| number.to_string()).collect::<Vec<_>>());
    let nodes = cluster.ask(Part::Router(0), json!({"op": "node-list"})).await.unwrap();
    assert!(nodes["nodes"].as_array().unwrap().iter().all(|node| node["state"] == "serving"), "{nodes}");
    drop((alice, bob));
    settles(&cluster, &usage).await;
}
