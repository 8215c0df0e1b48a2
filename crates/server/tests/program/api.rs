//! Administration over HTTP: the same commands behind REST, gRPC and the control socket, and who is let in.

use std::net::SocketAddr;

use serde_json::{Value, json};
use starling_admin::messages::admin_client::AdminClient;
use starling_admin::messages::{NodeListRequest, UserListRequest};
use starling_admin::{COMMANDS, hash};
use starling_testkit::{Connection, Server, http};
use tonic::Code;
use tonic::transport::Channel;

use crate::starling::{ByHand, ctl, server, starling, starling_in, until};

/// Nobody guesses them, and the log must not have them.
pub(crate) const TOKENS: [(&str, &str); 3] = [("looks", "read"), ("works", "operate"), ("rules", "admin")];

pub(crate) fn token(name: &str) -> String {
    format!("starling_{name}{}", "0123456789abcdef".repeat(4))
}

pub(crate) fn config() -> String {
    let tokens = TOKENS.map(|(name, role)| {
        format!("[api.tokens.{name}]\nrole = '{role}'\nhash = '{}'\n", hash(&token(name)))
    });
    format!("{}[api]\nlisten = '127.0.0.1:0'\nhosts = ['console.example']\n", tokens.concat())
}

pub(crate) struct Answered {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.head, self.body))
    }
}

async fn raw(address: SocketAddr, request: &str) -> Answered {
    let answer = http(address, request).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answered { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// With these headers and no others but those that HTTP wants.
pub(crate) async fn sent(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answered {
    let mut all =
        vec![("host".to_owned(), address.to_string()), ("connection".to_owned(), "close".to_owned())];
    for (name, value) in headers {
        all.retain(|(known, _)| known != name);
        all.push(((*name).to_owned(), (*value).to_owned()));
    }
    if !body.is_empty() {
        all.push(("content-length".to_owned(), body.len().to_string()));
    }
    let head: String = all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    raw(address, &format!("{method} {path} HTTP/1.1\r\n{head}\r\n{body}")).await
}

/// As whoever has that token.
async fn asked(server: &Server, by: &str, method: &str, path: &str, body: &str) -> Answered {
    let bearer = format!("Bearer {}", token(by));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    sent(server.address("api").unwrap(), method, path, &headers, body).await
}

pub(crate) fn with_token<T>(by: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {}", token(by)).parse().unwrap());
    request
}

async fn grpc(address: SocketAddr) -> AdminClient<Channel> {
    AdminClient::connect(format!("http://{address}")).await.unwrap()
}

async fn desk(server: &Server, name: &str) -> Connection {
    let mut connection = Connection::open(server.plain()).await.unwrap();
    connection.login("localhost", name, "secret").await.unwrap();
    connection.bind("desk").await.unwrap();
    connection
}

#[tokio::test]
async fn every_door_gives_the_same_answers() {
    let server = server(&config()).await;
    let added =
        asked(&server, "rules", "POST", "/v1/users", r#"{"jid":"alice@localhost","password":"secret"}"#)
            .await;
    assert_eq!((added.status, added.json()), (200, json!({"created": "alice@localhost"})));
    let _alice = desk(&server, "alice").await;
    for (path, arguments) in [
        ("/v1/users", &["user", "list"][..]),
        (
            "/v1/sessions?jid=alice%40localhost&limit=5",
            &["session", "list", "alice@localhost", "--limit", "5"],
        ),
        ("/v1/drain", &["drain", "status"]),
    ] {
        let by_rest = asked(&server, "looks", "GET", path, "").await;
        assert_eq!((by_rest.status, by_rest.json()), (200, ctl(&server, arguments)), "{path}");
    }
    let node = ctl(&server, &["node", "list"])["nodes"][0]["name"].clone();
    let of_node =
        asked(&server, "looks", "GET", &format!("/v1/sessions?node={}", node.as_str().unwrap()), "").await;
    assert_eq!(of_node.json()["sessions"][0]["jid"], "alice@localhost/desk");
    let of_none = asked(&server, "looks", "GET", "/v1/sessions?node=nowhere", "").await;
    assert_eq!(of_none.json(), json!({"sessions": [], "more": false, "missing": []}));

    let mut grpc = grpc(server.address("api").unwrap()).await;
    let users = grpc.user_list(with_token("looks", UserListRequest::default())).await.unwrap().into_inner();
    assert_eq!(serde_json::to_value(users).unwrap(), ctl(&server, &["user", "list"]));
    let nodes = grpc.node_list(with_token("looks", NodeListRequest::default())).await.unwrap().into_inner();
    assert_eq!(nodes.nodes[0].name, node.as_str().unwrap());
    let refused = grpc.node_list(NodeListRequest::default()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unauthenticated, "unauthorized"));

    let kicked = asked(&server, "works", "DELETE", "/v1/sessions?jid=alice%40localhost%2Fdesk", "").await;
    assert_eq!(kicked.json(), json!({"ended": 1}));
    let again = asked(&server, "works", "DELETE", "/v1/sessions?jid=alice%40localhost%2Fdesk", "").await;
    assert_eq!((again.status, again.json()), (404, json!({"error": "alice@localhost/desk has no session"})));
    let removed = asked(&server, "rules", "DELETE", "/v1/users/alice@localhost", "").await;
    assert_eq!(removed.json(), json!({"removed": "alice@localhost"}));
    assert_eq!(ctl(&server, &["user", "list"]), json!({"accounts": [], "more": false}));
}

#[tokio::test]
async fn a_token_does_what_its_role_says_and_is_named_in_the_audit_log() {
    let mut server = server(&format!("[log]\nlevel = 'warn'\nformat = 'json'\n{}", config())).await;
    for command in COMMANDS {
        let path = command.path.replace("{jid}", "nobody@localhost").replace("{id}", &"0".repeat(32));
        let body = if matches!(command.verb.as_str(), "PUT" | "POST") { "{}" } else { "" };
        for (name, role) in TOKENS {
            let may = role.parse::<starling_admin::Role>().unwrap() >= command.role;
            let answer = asked(&server, name, command.verb.as_str(), &path, body).await;
            assert_eq!(
                answer.status != 403,
                may,
                "{} by {name}: {} {}",
                command.name,
                answer.status,
                answer.body
            );
        }
        for wrong in [None, Some("Bearer starling_wrong"), Some("Basic YTpi")] {
            let headers: Vec<(&str, &str)> =
                wrong.map(|wrong| ("authorization", wrong)).into_iter().collect();
            let answer =
                sent(server.address("api").unwrap(), command.verb.as_str(), &path, &headers, "").await;
            assert_eq!(
                (answer.status, answer.json()),
                (401, json!({"error": "unauthorized"})),
                "{}",
                command.name
            );
            assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
        }
    }
    let made = r#"{"jid":"alice@localhost","password":"unspeakable"}"#;
    assert_eq!(asked(&server, "rules", "POST", "/v1/users", made).await.status, 200);
    let set = asked(
        &server,
        "rules",
        "PUT",
        "/v1/users/alice@localhost/password",
        r#"{"password":"unspeakable2"}"#,
    )
    .await;
    assert_eq!(set.json(), json!({"changed": "alice@localhost"}));
    ctl(&server, &["user", "remove", "alice@localhost"]);
    server.stop().await.unwrap();
    let log = server.log();
    let audit: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["target"] == "audit")
        .collect();
    let has = |event: &str, by: &str, outcome: &str, jid: Option<&str>| {
        audit.iter().any(|line| {
            line["event"] == event
                && line["outcome"] == outcome
                && line["by"] == by
                && line["jid"].as_str() == jid
        })
    };
    assert!(has("user-add", "rules", "done", Some("alice@localhost")), "{log}");
    assert!(has("user-passwd", "rules", "done", Some("alice@localhost")), "{log}");
    assert!(has("user-remove", "control-socket", "done", Some("alice@localhost")), "{log}");
    assert!(has("user-remove", "looks", "forbidden", Some("nobody@localhost")), "{log}");
    assert!(has("message", "works", "not-found", Some("nobody@localhost")), "{log}");
    assert!(audit.iter().any(|line| line["event"] == "token" && line["from"] == "127.0.0.1"), "{log}");
    assert!(!audit.iter().any(|line| line["event"] == "node-list" && line["outcome"] == "done"), "{log}");
    for secret in ["unspeakable", "starling_", &hash(&token("rules"))[7..], "Bearer"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn pages_of_other_sites_are_refused_whatever_they_send() {
    let server = server(&config()).await;
    let address = server.address("api").unwrap();
    let bearer = format!("Bearer {}", token("rules"));
    let own = format!("http://{address}");
    let make = r#"{"jid":"mallory@localhost","password":"secret"}"#;
    let ours: [&[(&str, &str)]; 4] = [
        &[("origin", &own)],
        &[("sec-fetch-site", "same-origin")],
        &[("host", "localhost:1")],
        &[("host", "console.example")],
    ];
    for headers in ours {
        let all = [&[("authorization", bearer.as_str())], headers].concat();
        assert_eq!(sent(address, "GET", "/v1/users", &all, "").await.status, 200, "{headers:?}");
    }
    let theirs: [&[(&str, &str)]; 6] = [
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://localhost:8000")],
        &[("sec-fetch-site", "cross-site")],
        &[("host", "evil.example")],
        &[("host", "evil.example:5282"), ("origin", "http://evil.example:5282")],
    ];
    for headers in theirs {
        let json = ("content-type", "application/json");
        let all = [&[("authorization", bearer.as_str()), json], headers].concat();
        let answer = sent(address, "POST", "/v1/users", &all, make).await;
        assert_eq!((answer.status, answer.json()), (403, json!({"error": "forbidden"})), "{headers:?}");
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        assert_eq!(sent(address, "POST", "/v1/users", &headers, make).await.status, 415, "{kind}");
    }
    let preflight = [("origin", "http://evil.example"), ("access-control-request-method", "POST")];
    assert_eq!(sent(address, "OPTIONS", "/v1/users", &preflight, "").await.status, 403);
    assert_eq!(sent(address, "OPTIONS", "/v1/users", &[("authorization", &bearer)], "").await.status, 405);
    let cookie = [("cookie", format!("authorization={bearer}; token={}", token("rules")))];
    let cookie: Vec<(&str, &str)> = cookie.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(sent(address, "GET", "/v1/users", &cookie, "").await.status, 401);
    let in_query = format!("/v1/users?access_token={}", token("rules"));
    assert_eq!(sent(address, "GET", &in_query, &[], "").await.status, 401);
    assert_eq!(ctl(&server, &["user", "list"])["accounts"], json!([]));
}

#[tokio::test]
async fn tricks_with_paths_find_nothing() {
    let server = server(&config()).await;
    for path in [
        "/../etc/passwd",
        "/..%2fetc/passwd",
        "/%2e%2e/x",
        "/%u002e%u002e/x",
        "/..;/v1/users",
        "/./",
        "//",
        "/index.html",
        "/console.js/",
        "/console.js%00",
        "/console.js?/../x/..",
        "/assets/",
        "/.git/config",
        "/metrics",
        "/livez",
        "/v1/../v1/users",
        "/v1/users/..;/",
        "/v1//users",
        "/v1/users%2f",
        "/v1/%75sers",
        "/v1/users/%2e%2e",
        "/v1/users/a%2fb",
        "/v1/users/a%00@localhost",
        "/v1/openapi.json/",
        "/v1/",
        "/v1",
        "/setup/setup-s/%u002e%u002e/x",
    ] {
        let expected = if path == "/console.js?/../x/.." { 200 } else { 404 };
        let answer = asked(&server, "rules", "GET", path, "").await;
        assert_eq!(answer.status, expected, "{path} {}", answer.body);
        if expected == 404 {
            assert_eq!(answer.json(), json!({"error": "not found"}), "{path}");
        }
    }
    for path in ["/v1", "/v1/", "/v1/users", "/v1/nothing", "/v1/users/%2e%2e"] {
        assert_eq!(sent(server.address("api").unwrap(), "GET", path, &[], "").await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn what_is_too_long_or_makes_no_sense_is_refused() {
    let server = server(&config()).await;
    let address = server.address("api").unwrap();
    for (method, path, body, status) in [
        ("POST", "/v1/users", "{".to_owned(), 400),
        ("POST", "/v1/users", "[]".to_owned(), 400),
        ("POST", "/v1/users", r#"{"jid":"a@localhost","password":"x","admin":true}"#.to_owned(), 400),
        ("POST", "/v1/users", r#"{"jid":5,"password":"x"}"#.to_owned(), 400),
        ("POST", "/v1/users", r#"{"jid":"a@localhost","password":""}"#.to_owned(), 400),
        ("POST", "/v1/users", r#"{"jid":"localhost","password":"x"}"#.to_owned(), 400),
        ("POST", "/v1/users?jid=a@localhost", r#"{"password":"x"}"#.to_owned(), 400),
        ("PUT", "/v1/users/a@localhost/password", r#"{"jid":"b@localhost","password":"x"}"#.to_owned(), 400),
        ("POST", "/v1/users", format!(r#"{{"jid":"{}@localhost","password":"x"}}"#, "a".repeat(70_000)), 413),
        ("GET", "/v1/users?limit=many", String::new(), 400),
        ("GET", "/v1/users?limit=0", String::new(), 400),
        ("GET", "/v1/sessions?limit=10001", String::new(), 400),
        ("GET", "/v1/users?limit=1&limit=2", String::new(), 400),
        ("GET", "/v1/users?after=%ff", String::new(), 400),
        ("GET", "/v1/users?colour=red", String::new(), 400),
        ("GET", "/v1/users", "{}".to_owned(), 400),
        ("PUT", "/v1/users/a@localhost/password", r#"{"password":"x"}"#.to_owned(), 404),
        ("PATCH", "/v1/users", String::new(), 405),
    ] {
        let answer = asked(&server, "rules", method, path, &body).await;
        assert_eq!(answer.status, status, "{method} {path} {}", answer.body);
    }
    let long = format!("Bearer {}", "x".repeat(100_000));
    assert_eq!(sent(address, "GET", "/v1/users", &[("authorization", &long)], "").await.status, 431);
    let kept = asked(&server, "rules", "GET", "/v1/users?limit=1", "").await;
    assert_eq!((kept.status, kept.json()), (200, json!({"accounts": [], "more": false})));
    for name in ["a", "b", "c"] {
        ctl(&server, &["user", "add", &format!("{name}@localhost"), "x"]);
    }
    let page = asked(&server, "looks", "GET", "/v1/users?limit=2", "").await.json();
    assert_eq!(page, json!({"accounts": ["a@localhost", "b@localhost"], "more": true}));
    let rest = asked(&server, "looks", "GET", "/v1/users?limit=2&after=b@localhost", "").await.json();
    assert_eq!(rest, json!({"accounts": ["c@localhost"], "more": false}));
}

#[tokio::test]
async fn the_console_and_the_document_carry_no_secret_and_ask_nobody_else() {
    let server = server(&config()).await;
    let address = server.address("api").unwrap();
    for path in ["/", "/console.css", "/console.js", "/figures.js", "/v1/openapi.json"] {
        let answer = sent(address, "GET", path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}");
        for header in
            ["content-security-policy: default-src 'none';", "nosniff", "x-frame-options: deny", "no-store"]
        {
            assert!(answer.head.contains(header), "{path} {header}: {}", answer.head);
        }
        assert!(!answer.head.contains("set-cookie") && !answer.body.contains("://fonts"), "{path}");
    }
    let document = sent(address, "GET", "/v1/openapi.json", &[], "").await.json();
    assert_eq!(document["paths"]["/v1/users"]["post"]["operationId"], "user-add");
    assert_eq!(sent(address, "POST", "/", &[], "").await.status, 405);
}

#[tokio::test]
async fn figures_are_those_of_the_metrics() {
    let server = server(&config()).await;
    ctl(&server, &["user", "add", "alice@localhost", "secret"]);
    let mut alice = desk(&server, "alice").await;
    alice.write("<message to='alice@localhost/desk'><body>x</body></message>").await.unwrap();
    alice.element("message").await.unwrap();
    let metric = async |name: &str| {
        let (_, text) = crate::admin::get(server.address("admin").unwrap(), "/metrics").await;
        let of =
            text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<f64>().ok());
        of.sum::<f64>()
    };
    let same = async || {
        let counts = asked(&server, "looks", "GET", "/v1/counts", "").await.json();
        for (figure, name) in [
            (&counts["connections"], "xmpp_cm_connections{"),
            (&counts["bound"], "xmpp_cm_streams{state=\"bound\"}"),
            (&counts["stanzas-received"], "xmpp_stanza_received_total{"),
            (&counts["stanzas-sent"], "xmpp_stanza_sent_total{"),
            (&counts["logins"], "xmpp_auth_attempts_total{mechanism=\"PLAIN\",result=\"success\"}"),
            (&counts["sessions-attached"], "xmpp_sessions{state=\"attached\"}"),
            (&counts["acknowledge"]["count"], "xmpp_ack_latency_seconds_count"),
            (&counts["deliver"]["count"], "xmpp_message_delivery_duration_seconds_count"),
        ] {
            let expected = metric(name).await;
            let is_there = expected > 0.0 || name == "xmpp_message_delivery_duration_seconds_count";
            if figure.as_f64() != Some(expected) || !is_there {
                return false;
            }
        }
        true
    };
    until("the figures are those of /metrics", same).await;
}

#[tokio::test]
async fn tokens_change_without_a_restart() {
    let server = server(&config()).await;
    let path = server.data_dir().join("starling.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&hash(&token("rules")), &hash(&token("later")))).unwrap();
    assert_eq!(ctl(&server, &["config", "reload"]), json!({"reloaded": true, "restart": []}));
    assert_eq!(asked(&server, "rules", "GET", "/v1/users", "").await.status, 401);
    assert_eq!(asked(&server, "later", "GET", "/v1/users", "").await.status, 200);
}

#[tokio::test]
async fn a_session_router_serves_it_and_a_connection_manager_says_why_not() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = format!("{{rules = {{role = 'admin', hash = '{}'}}}}", hash(&token("rules")));
    let variables = [
        ("STARLING_API_LISTEN", "127.0.0.1:0"),
        ("STARLING_API_TOKENS", tokens.as_str()),
        ("STARLING_CLUSTER_STORES", "embedded"),
        ("STARLING_CLUSTER_PLAINTEXT", "true"),
        ("STARLING_CLUSTER_LISTEN", "127.0.0.1:0"),
        ("STARLING_CLUSTER_NAME", "router-1"),
    ];
    let mut router = ByHand::start(directory.path(), &["--roles", "session-router"], &variables);
    let address = router.address("console").await;
    let bearer = format!("Bearer {}", token("rules"));
    let nodes = sent(address, "GET", "/v1/nodes", &[("authorization", &bearer)], "").await.json();
    assert_eq!(
        (&nodes["nodes"][0]["name"], &nodes["nodes"][0]["roles"]),
        (&json!("router-1"), &json!("session-router"))
    );
    let manager = [&variables[..], &[("STARLING_CLUSTER_ROUTERS", "['127.0.0.1:9']")]].concat();
    let refused = starling_in(directory.path(), &["run", "--roles", "connection-manager"], &manager);
    assert_eq!(refused.code, Some(64), "{refused:?}");
    assert!(
        refused.stderr.contains("api.tokens") && refused.stderr.contains("session routers do"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn other_machines_are_not_served_in_the_open() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = format!("{{a = {{role = 'read', hash = '{}'}}}}", hash("x"));
    for (variables, key) in [
        (
            &[("STARLING_API_LISTEN", "0.0.0.0:0"), ("STARLING_API_TOKENS", tokens.as_str())][..],
            "STARLING_API_LISTEN",
        ),
        (&[("STARLING_API_LISTEN", "127.0.0.1:9")], "api.tokens"),
        (&[("STARLING_API_TOKENS", "{a = {role = 'read', hash = 'x'}}")], "STARLING_API_TOKENS"),
        (&[("STARLING_API_TOKENS_FILE", "/no/such/file")], "STARLING_API_TOKENS_FILE"),
    ] {
        let refused = starling_in(directory.path(), &["run"], variables);
        assert_eq!(refused.code, Some(64), "{refused:?}");
        assert!(refused.stderr.contains(key), "{key}: {refused:?}");
    }
    let unserved = starling(&["config", "dump"]).succeeded().stdout;
    assert!(unserved.contains("listen = \"127.0.0.1:5282\""), "{unserved}");
}

#[tokio::test]
async fn a_token_is_made_with_its_hash_and_the_server_needs_only_that() {
    let made = starling(&["token", "new", "carol", "--role", "operate"]).succeeded();
    let line =
        |start: &str| made.stdout.lines().find_map(|line| line.strip_prefix(start)).unwrap().to_owned();
    let token = line("token: ");
    let section = made.stdout.split("\n\n").find(|part| part.contains("[api.tokens.carol]")).unwrap();
    assert!(section.contains(&hash(&token)) && !section.contains(&token), "{made:?}");
    let section = section.split_once("[api").unwrap().1;
    let server = server(&format!("[api]\nlisten = '127.0.0.1:0'\n[api{section}")).await;
    let bearer = format!("Bearer {token}");
    let answer =
        sent(server.address("api").unwrap(), "GET", "/v1/drain", &[("authorization", &bearer)], "").await;
    assert_eq!(answer.status, 200);
    let other = starling(&["token", "new", "carol"]).succeeded().stdout;
    assert!(other.contains("role = \"read\"") && !other.contains(&token), "{other}");
    assert_eq!(starling(&["token", "new", "a b"]).code, Some(1));
}
