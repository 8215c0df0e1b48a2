//! A cluster as it is administered at its session router: what each process counts, what all do, and the drain of one.

use std::net::SocketAddr;

use serde_json::{Value, json};
use starling_admin::hash;
use starling_admin::messages::admin_client::AdminClient;
use starling_admin::messages::{DrainStatusRequest, NodeCountsRequest};
use starling_testkit::Connection;

use crate::api::{Answered, sent, token, with_token};
use crate::starling::{ByHand, starling, until};

const NAMES: [&str; 3] = ["manager-1", "manager-2", "router-1"];

struct Cluster {
    directory: tempfile::TempDir,
    _router: ByHand,
    api: SocketAddr,
    managers: Vec<ByHand>,
    /// Where clients come in.
    plain: Vec<SocketAddr>,
    /// Where metrics are, in the order of the names.
    admin: Vec<SocketAddr>,
}

impl Cluster {
    /// One session router on an embedded store, and two connection managers.
    async fn start() -> Cluster {
        let directory = tempfile::tempdir().unwrap();
        let tokens = format!("{{rules = {{role = 'admin', hash = '{}'}}}}", hash(&token("rules")));
        let router = [
            ("STARLING_API_LISTEN", "127.0.0.1:0"),
            ("STARLING_API_TOKENS", tokens.as_str()),
            ("STARLING_CLUSTER_STORES", "embedded"),
            ("STARLING_CLUSTER_LISTEN", "127.0.0.1:0"),
        ];
        let mut router = member(directory.path(), "router-1", "session-router", &router);
        let at_router = router.address("admin").await;
        let link = format!("['{}']", router.address("link").await);
        let api = router.address("console").await;
        let (mut managers, mut plain, mut admin) = (Vec::new(), Vec::new(), Vec::new());
        for name in &NAMES[..2] {
            let manager =
                [("STARLING_CLUSTER_ROUTERS", link.as_str()), ("STARLING_LISTEN_PLAIN", "['127.0.0.1:0']")];
            let mut manager = member(directory.path(), name, "connection-manager", &manager);
            plain.push(manager.address("plain").await);
            admin.push(manager.address("admin").await);
            managers.push(manager);
        }
        admin.push(at_router);
        Cluster { directory, _router: router, api, managers, plain, admin }
    }

    async fn asked(&self, method: &str, path: &str, body: &str) -> Answered {
        let bearer = format!("Bearer {}", token("rules"));
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        sent(self.api, method, path, &headers, body).await
    }

    async fn grpc(&self) -> AdminClient<tonic::transport::Channel> {
        AdminClient::connect(format!("http://{}", self.api)).await.unwrap()
    }

    async fn enter(&self, name: &str, manager: usize) -> Connection {
        let account = json!({"jid": format!("{name}@localhost"), "password": "secret"}).to_string();
        assert_eq!(self.asked("POST", "/v1/users", &account).await.status, 200);
        let mut connection = Connection::open(self.plain[manager]).await.unwrap();
        connection.login("localhost", name, "secret").await.unwrap();
        connection.bind("desk").await.unwrap();
        connection
    }

    /// The sum of a metric, in the process of that place.
    async fn metric(&self, place: usize, name: &str) -> f64 {
        let (_, text) = crate::admin::get(self.admin[place], "/metrics").await;
        let of =
            text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<f64>().ok());
        of.sum()
    }
}

fn member(directory: &std::path::Path, name: &str, role: &str, more: &[(&str, &str)]) -> ByHand {
    let own = directory.join(name);
    std::fs::create_dir(&own).unwrap();
    let variables =
        [&[("STARLING_CLUSTER_NAME", name), ("STARLING_CLUSTER_PLAINTEXT", "true")], more].concat();
    ByHand::start(&own, &["--roles", role], &variables)
}

/// Of a list of things with a name.
fn names<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().into_iter().flatten().filter_map(|one| one[key].as_str()).collect()
}

/// In the answer, and in the metrics.
const ADDED: [(&str, &str); 4] = [
    ("connections", "xmpp_cm_connections{"),
    ("stanzas-received", "xmpp_stanza_received_total{"),
    ("logins", "xmpp_auth_attempts_total{mechanism=\"PLAIN\",result=\"success\"}"),
    ("messages", "xmpp_message_outcome_total{"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_process_counts_is_added_up() {
    let mut cluster = Cluster::start().await;
    let (mut alice, mut bob) = (cluster.enter("alice", 0).await, cluster.enter("bob", 1).await);
    for _ in 0..3 {
        alice.write("<message to='bob@localhost/desk'><body>x</body></message>").await.unwrap();
        bob.element("message").await.unwrap();
    }
    for admin in &cluster.admin {
        crate::admin::assert_documented(&crate::admin::get(*admin, "/metrics").await.1);
    }
    let same = async || {
        let counts = cluster.asked("GET", "/v1/nodes/counts", "").await.json();
        if names(&counts["nodes"], "node") != NAMES || counts["missing"] != json!([]) {
            return false;
        }
        for (figure, name) in ADDED {
            let mut sum = 0.0;
            for place in 0..NAMES.len() {
                let there = cluster.metric(place, name).await;
                if counts["nodes"][place][figure].as_f64() != Some(there) {
                    return false;
                }
                sum += there;
            }
            if sum == 0.0 || counts["total"][figure].as_f64() != Some(sum) {
                return false;
            }
        }
        // The router counts the sessions of both managers, and nobody counts them again.
        let sessions = |of: &Value| of["sessions-attached"].clone();
        let counted =
            (sessions(&counts["nodes"][0]), sessions(&counts["nodes"][2]), sessions(&counts["total"]));
        let acknowledged = |of: &Value| of["acknowledge"]["count"].as_u64().unwrap();
        let each: u64 = counts["nodes"].as_array().unwrap().iter().map(acknowledged).sum();
        counted == (json!(0), json!(2), json!(2)) && acknowledged(&counts["total"]) == each && each > 0
    };
    until("the figures are those of all /metrics", same).await;
    for (place, name) in [
        (0, "rpc_client_call_duration_seconds_count{method=\"submit\",status=\"ok\"}"),
        (0, "rpc_client_call_duration_seconds_count{method=\"step\",status=\"ok\"}"),
        (2, "rpc_server_call_duration_seconds_count{method=\"submit\",status=\"ok\"}"),
        (2, "rpc_server_call_duration_seconds_count{method=\"step\",status=\"ok\"}"),
    ] {
        let counted = async || cluster.metric(place, name).await > 0.0;
        until(name, counted).await;
    }
    let queue = crate::admin::get(cluster.admin[0], "/metrics").await.1;
    assert!(queue.contains("\nxmpp_outbound_queue_bytes 0\n"), "{queue}");
    let mut grpc = cluster.grpc().await;
    let counts =
        grpc.node_counts(with_token("rules", NodeCountsRequest::default())).await.unwrap().into_inner();
    assert_eq!((counts.nodes.len(), counts.total.unwrap().connections), (3, 2));
    // At a connection manager, too, which knows no account.
    let data = cluster.directory.path().join("manager-2/data");
    let shown = starling(&["ctl", "--data-dir", data.to_str().unwrap(), "node", "counts"]).succeeded().stdout;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.len() == 4 && lines[3].starts_with("all: ") && !shown.contains("buckets"), "{shown}");
    assert!(
        lines[3].contains("  connections=2  ") && lines[3].contains("  sessions-attached=2  "),
        "{shown}"
    );

    cluster.managers.pop(); // kill -9
    let is_named = async || {
        let counts = cluster.asked("GET", "/v1/nodes/counts", "").await.json();
        names(&counts["missing"], "node") == ["manager-2"] && counts["total"]["connections"] == 1
    };
    until("who does not answer is named", is_named).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_is_drained_at_another_by_rest_and_grpc() {
    let mut cluster = Cluster::start().await;
    let _alice = cluster.enter("alice", 0).await;
    let all = async || names(&cluster.asked("GET", "/v1/nodes", "").await.json()["nodes"], "name") == NAMES;
    until("all are listed", all).await;
    let begun = cluster.asked("POST", "/v1/drain", r#"{"node": "manager-1", "now": true}"#).await;
    assert_eq!((begun.status, &begun.json()["node"]), (200, &json!("manager-1")), "{}", begun.body);
    let state = async || {
        let listed = cluster.asked("GET", "/v1/nodes", "").await.json();
        listed["nodes"].as_array().unwrap().iter().map(|node| node["state"].clone()).collect::<Vec<_>>()
    };
    until("it is empty", async || state().await == ["drained", "serving", "serving"]).await;
    let told = "xmpp_drain_evicted_total{result=\"ended\"}"; // without XEP-0198
    assert_eq!(cluster.metric(0, told).await, 1.0);
    let mut grpc = cluster.grpc().await;
    let of = |node: &str| with_token("rules", DrainStatusRequest { node: Some(node.to_owned()) });
    let drained = grpc.drain_status(of("manager-1")).await.unwrap().into_inner();
    assert_eq!((&*drained.node, &*drained.state, drained.sessions), ("manager-1", "drained", Some(0)));
    let back = cluster.asked("DELETE", "/v1/drain?node=manager-1", "").await;
    assert_eq!((back.status, &back.json()["state"]), (200, &json!("serving")), "{}", back.body);
    assert_eq!(cluster.asked("GET", "/v1/drain?node=manager-7", "").await.status, 404);
    assert_eq!(grpc.drain_status(of("manager-7")).await.unwrap_err().code(), tonic::Code::NotFound);

    cluster.managers.pop(); // kill -9
    let is_refused = async || {
        let refused = cluster.asked("POST", "/v1/drain", r#"{"node": "manager-2", "now": true}"#).await;
        refused.status == 409 && refused.json()["error"].as_str().unwrap().starts_with("manager-2: ")
    };
    until("nobody is drained who does not answer", is_refused).await;
}
