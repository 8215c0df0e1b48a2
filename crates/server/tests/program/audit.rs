//! The audit log: whatever is refused is in it.

use serde_json::{Value, json};
use starling_admin::messages::TraceChangeRequest;
use starling_admin::messages::admin_client::AdminClient;
use tonic::Code;

use crate::admin::get;
use crate::api::{config, sent, token, with_token};
use crate::starling::{server, starling};

#[tokio::test]
async fn what_is_refused_is_a_line_and_is_counted() {
    let mut server = server(&format!("[log]\nlevel = 'warn'\nformat = 'json'\n{}", config())).await;
    let address = server.address("api").unwrap();
    let bearer = format!("Bearer {}", token("rules"));
    let (known, json) = (("authorization", bearer.as_str()), ("content-type", "application/json"));
    let make = r#"{"jid":"mallory@localhost","password":"unspeakable"}"#;
    let theirs: [&[(&str, &str)]; 5] = [
        &[known, json, ("origin", "http://evil.example")],
        &[known, json, ("sec-fetch-site", "cross-site")],
        &[known, json, ("host", "evil.example")],
        &[json, ("origin", "http://evil.example")],
        &[("authorization", "Bearer starling_wrong"), json, ("sec-fetch-site", "cross-site")],
    ];
    for headers in theirs {
        assert_eq!(sent(address, "POST", "/v1/users", headers, make).await.status, 403, "{headers:?}");
    }
    let form = [known, ("content-type", "text/plain")];
    assert_eq!(sent(address, "POST", "/v1/users", &form, make).await.status, 415);
    let unread = sent(address, "PUT", "/v1/users/alice@localhost/password", &[known, json], "{}").await;
    assert_eq!(unread.status, 400);
    let (_, text) = get(server.address("admin").unwrap(), "/metrics").await;
    let counted = |line: &str| text.contains(&format!("starling_admin_commands_total{line}\n"));
    assert!(counted("{outcome=\"forbidden\"} 5") && counted("{outcome=\"invalid\"} 2"), "{text}");
    server.stop().await.unwrap();
    let log = server.log();
    let audit = lines(&log);
    let many = |event: &str, by: Value, outcome: &str| {
        let is_it = |one: &&Value| one["event"] == event && one["by"] == by && one["outcome"] == outcome;
        audit.iter().filter(is_it).count()
    };
    assert_eq!(many("origin", json!("rules"), "forbidden"), 3, "{log}");
    assert_eq!(many("origin", Value::Null, "forbidden"), 2, "{log}");
    assert_eq!(many("user-add", json!("rules"), "invalid"), 1, "{log}");
    let passwd = audit.iter().find(|one| one["event"] == "user-passwd").unwrap();
    assert_eq!((&passwd["jid"], &passwd["outcome"]), (&json!("alice@localhost"), &json!("invalid")));
    assert!(!log.contains("unspeakable") && !log.contains("starling_"), "{log}");
}

fn lines(log: &str) -> Vec<Value> {
    let all = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.filter(|line| line["target"] == "audit").collect()
}

/// A number that JSON has not is no order to change nothing.
#[tokio::test]
async fn a_share_is_a_number_and_is_told() {
    let settings = "[otlp]\nendpoint = 'http://127.0.0.1:9'\n[log]\nlevel = 'warn'\nformat = 'json'\n";
    let mut server = server(&format!("{settings}{}", config())).await;
    let data_dir = server.data_dir().to_str().unwrap().to_owned();
    for wrong in ["nan", "inf", "2", "-1", "many"] {
        let refused = starling(&["ctl", "--data-dir", &data_dir, "trace", "rate", "--", wrong]);
        assert_eq!(refused.code, Some(2), "{wrong}: {refused:?}");
    }
    let address = server.address("api").unwrap();
    let bearer = format!("Bearer {}", token("rules"));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let change = starling_admin::COMMANDS.iter().find(|one| one.name == "trace-change").unwrap();
    for wrong in ["{}", r#"{"rate":null}"#, r#"{"rate":2}"#, r#"{"rate":"nan"}"#, r#"{"rate":NaN}"#] {
        let refused = sent(address, change.verb.as_str(), change.path, &headers, wrong).await;
        assert_eq!(refused.status, 400, "{wrong}: {}", refused.body);
    }
    let mut grpc = AdminClient::connect(format!("http://{address}")).await.unwrap();
    for rate in [f64::NAN, f64::INFINITY, -0.1] {
        let asked = TraceChangeRequest { rate: Some(rate), ..TraceChangeRequest::default() };
        let refused = grpc.trace_change(with_token("rules", asked)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{rate}: {refused:?}");
    }
    for change in [&["rate", "0.25"][..], &["follow", "carol@localhost"], &["unfollow", "carol@localhost"]] {
        starling(&[&["ctl", "--data-dir", &data_dir, "trace"], change].concat()).succeeded();
    }
    server.stop().await.unwrap();
    let log = server.log();
    let done: Vec<[Value; 3]> = lines(&log)
        .iter()
        .filter(|one| one["event"] == "trace-change" && one["outcome"] == "done")
        .map(|one| ["rate", "follow", "unfollow"].map(|field| one[field].clone()))
        .collect();
    let carol = json!("carol@localhost");
    let expected = [
        [json!(0.25), Value::Null, Value::Null],
        [Value::Null, carol.clone(), Value::Null],
        [Value::Null, Value::Null, carol],
    ];
    assert_eq!(done, expected, "{log}");
}
