//! Logs: for people on a terminal, JSON otherwise, and never what people say or know.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use starling_testkit::{Connection, Hash, Scram, TlsOptions, http};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::starling::{ByHand, PATIENCE, PORTS, PROGRAM, ctl, server, until};

#[tokio::test]
async fn a_log_that_is_no_terminal_is_json() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = ByHand::start(directory.path(), &[], &[]);
    server.line("accounts").await;
    let log = std::fs::read_to_string(&server.log).unwrap();
    assert!(log.lines().count() > 3, "{log}");
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["timestamp", "level", "target", "message"] {
            assert!(line.get(key).is_some(), "{key} is missing in {line}");
        }
    }
}

#[tokio::test]
async fn a_log_on_a_terminal_is_for_people() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("typescript");
    let mut terminal = tokio::process::Command::from(on_a_terminal(directory.path(), &output))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let seen = async || std::fs::read_to_string(&output).unwrap_or_default();
    until("the start", async || seen().await.contains("none yet")).await;
    let text = seen().await;
    assert!(text.contains("INFO") && !text.contains("{\"timestamp\""), "{text}");
    let data_dir = directory.path().join("data");
    let pid =
        crate::starling::starling(&["ctl", "--json", "--data-dir", data_dir.to_str().unwrap(), "status"])
            .json();
    crate::starling::signal(u32::try_from(pid["pid"].as_u64().unwrap()).unwrap(), Signal::TERM);
    terminal.wait().await.unwrap();
}

/// Between two looks whether there is a place.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// So many ask that some have to wait for a place, and more than may wait are told so by the system.
async fn connected(socket: &Path) -> UnixStream {
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(LOOK_AGAIN).await,
            done => return done.unwrap(),
        }
    }
}

/// A pipe whose reader hangs, as of a log collector that is stuck: what is logged is lost, and nothing else.
#[tokio::test]
async fn a_log_that_nobody_reads_stops_nobody() {
    const MANY: u64 = 10_000;
    let directory = tempfile::tempdir().unwrap();
    let (mut server, unread) = ByHand::start_unread(directory.path(), &[], &[]);
    let admin = server.address("admin").await;
    let mut lost = 0;
    let begun = Instant::now();
    let socket = directory.path().join("data/control.sock");
    while lost < MANY {
        for _ in 0..1000 {
            let mut asking = timeout(PATIENCE, connected(&socket)).await.unwrap();
            asking.write_all(b"\xff\n").await.unwrap(); // what is no UTF-8 is worth a warning
        }
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let text = timeout(PATIENCE, http(admin, request)).await.expect("it serves on").unwrap();
        let counted = text.lines().find_map(|line| line.strip_prefix("starling_log_lines_lost_total "));
        lost = counted.unwrap().parse().unwrap();
        assert!(begun.elapsed() < 4 * PATIENCE, "only {lost} lines were lost");
    }
    let mut log = BufReader::new(unread).lines();
    let told = async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains("log lines were lost") {
                return line;
            }
        }
        panic!("nothing is said of what was lost")
    };
    let told: Value = serde_json::from_str(&timeout(PATIENCE, told).await.unwrap()).unwrap();
    assert!(told["lost"].as_u64() >= Some(MANY), "{told}");
    server.signal(Signal::TERM);
    assert!(server.ended().await.success(), "nobody reads again, and it stops all the same");
}

/// `script` gives it a terminal.
fn on_a_terminal(directory: &Path, output: &Path) -> Command {
    let mut command = Command::new("script");
    command.args(["--quiet", "--flush", "--command", &format!("{PROGRAM} run")]).arg(output);
    command.current_dir(directory).envs(PORTS.iter().copied());
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    command
}

/// Everything that a client says about itself or to others, at the most talkative level there is.
#[tokio::test]
async fn no_body_password_or_token_is_logged_at_any_level() {
    let server = server("[log]\nlevel = 'trace'\n[im.registration]\nenabled = true\n").await;
    ctl(&server, &["user", "add", "alice@localhost", "PASSWORD-one"]);
    let mut alice = Connection::open(server.plain()).await.unwrap();
    alice.login("localhost", "alice", "PASSWORD-one").await.unwrap();
    alice.bind("desk").await.unwrap();
    alice.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await.unwrap();
    let token = alice.element("enabled").await.unwrap().attr("id").unwrap().to_owned();
    alice.write("<presence><status>STATUS-text</status></presence>").await.unwrap();
    alice.write("<message to='alice@localhost' type='chat'><subject>SUBJECT-text</subject><body>BODY-text</body></message>").await.unwrap();
    alice
        .write("<iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>CARD-text</FN></vCard></iq>")
        .await
        .unwrap();
    alice.write("<iq type='set' id='x'><query xmlns='jabber:iq:private'><s xmlns='s:s'>PRIVATE-text</s></query></iq>").await.unwrap();
    alice
        .write("<message to='nobody@localhost' type='chat'><body>BODY-bounced</body></message>")
        .await
        .unwrap();
    alice.write("<iq type='set' id='p'><query xmlns='jabber:iq:register'><username>alice</username><password>PASSWORD-two</password></query></iq>").await.unwrap();
    until("the answer", async || {
        matches!(alice.next(crate::starling::PATIENCE).await.unwrap(),
            starling_testkit::Received::Element(tree, _) if tree.attr("id") == Some("p"))
    })
    .await;
    let mut secured = Connection::open(server.address("c2s").unwrap()).await.unwrap();
    secured.start_tls(&TlsOptions::new("localhost")).await.unwrap();
    secured.header("localhost").await.unwrap();
    secured.element("features").await.unwrap();
    secured.scram(&Scram::new(Hash::Sha256, "alice", "PASSWORD-two")).await.unwrap();
    let mut wrong = Connection::open(server.plain()).await.unwrap();
    assert!(wrong.login("localhost", "alice", "PASSWORD-wrong").await.is_err());
    let mut broken = Connection::open(server.plain()).await.unwrap();
    broken.login("localhost", "alice", "PASSWORD-two").await.unwrap();
    broken.bind("broken").await.unwrap();
    broken.write("<message><body>BODY-broken</wrong></message>").await.unwrap();
    broken.to_the_end(crate::starling::PATIENCE).await.unwrap();

    let log = server.log();
    assert!(
        log.contains("\"level\":\"TRACE\"") || log.contains("\"level\":\"DEBUG\""),
        "nothing was logged: {log}"
    );
    let encoded = ["one", "two", "wrong"].map(|which| base64(&format!("\0alice\0PASSWORD-{which}")));
    let secrets = ["PASSWORD-", "STATUS-", "SUBJECT-", "BODY-", "CARD-", "PRIVATE-", token.as_str()];
    for secret in secrets.into_iter().chain(encoded.iter().map(String::as_str)) {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in the log: {line:?}");
    }
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(text)
}
