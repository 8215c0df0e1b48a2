//! `starling run --quickstart`, which is `make run`.

use rustix::process::Signal;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use starling_testkit::{Connection, TlsOptions, Tree};

use crate::starling::{ByHand, PORTS, offers_registration, starling_in};

/// What it printed: where clients come in, and the passwords of alice and bob.
async fn start(directory: &Path) -> (ByHand, SocketAddr, [String; 2]) {
    let mut server = ByHand::start(directory, &["--quickstart"], &[]);
    let address = server.address("starttls").await;
    assert!(server.line("accounts").await.starts_with("alice@localhost, bob@localhost"));
    let mut passwords = [String::new(), String::new()];
    for (password, name) in passwords.iter_mut().zip(["alice", "bob"]) {
        *password = server.line(&format!("{name}@localhost   password")).await;
    }
    (server, address, passwords)
}

async fn sign_in(address: SocketAddr, name: &str, password: &str) -> Connection {
    let mut connection = Connection::open(address).await.unwrap();
    connection.start_tls(&TlsOptions::new("localhost")).await.unwrap();
    connection.login("localhost", name, password).await.unwrap();
    connection.bind("desk").await.unwrap();
    connection
}

async fn features(address: SocketAddr) -> Tree {
    let mut connection = Connection::open(address).await.unwrap();
    connection.start_tls(&TlsOptions::new("localhost")).await.unwrap();
    connection.header("localhost").await.unwrap();
    connection.element("features").await.unwrap()
}

#[tokio::test]
async fn alice_writes_to_bob_with_what_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut server, address, [alice, bob]) = start(directory.path()).await;
    assert!(server.line("First message").await.contains("open http://localhost:"));
    let mut bob = sign_in(address, "bob", &bob).await;
    bob.write("<presence/>").await.unwrap();
    bob.element("presence").await.unwrap();
    let mut alice = sign_in(address, "alice", &alice).await;
    alice.write("<message to='bob@localhost' type='chat'><body>hello</body></message>").await.unwrap();
    let message = bob.element("message").await.unwrap();
    assert_eq!(message.find(&["body"]).unwrap().text, "hello");
}

#[tokio::test]
async fn a_second_start_keeps_the_accounts() {
    let directory = tempfile::tempdir().unwrap();
    let (mut server, _, first) = start(directory.path()).await;
    server.signal(Signal::TERM);
    assert!(server.ended().await.success());
    let (mut server, address, second) = start(directory.path()).await;
    assert_eq!(first, second);
    sign_in(address, "alice", &second[0]).await;
    // A password that somebody has changed is not printed, nor is one that no longer holds.
    starling_in(directory.path(), &["ctl", "user", "passwd", "bob@localhost", "of-my-own"], &[]).succeeded();
    server.signal(Signal::TERM);
    server.ended().await;
    let (_server, address, third) = start(directory.path()).await;
    assert_eq!([third[0].as_str(), third[1].as_str()], [first[0].as_str(), "(as somebody set it)"]);
    sign_in(address, "bob", "of-my-own").await;
}

#[tokio::test]
async fn registration_is_on_in_a_quickstart_only() {
    let directory = tempfile::tempdir().unwrap();
    let (mut server, address, _) = start(directory.path()).await;
    assert!(offers_registration(&features(address).await));
    server.signal(Signal::TERM);
    server.ended().await;
    let mut server = ByHand::start(directory.path(), &[], &[]);
    let address = server.address("starttls").await;
    assert!(server.line("accounts").await.starts_with("alice@localhost, bob@localhost"));
    assert!(!offers_registration(&features(address).await));
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let list = format!("['{address}']");
    for (variable, value) in
        [("STARLING_LISTEN_C2S", list.as_str()), ("STARLING_ADMIN_LISTEN", address.as_str())]
    {
        let variables = [PORTS, &[(variable, value)]].concat();
        let refused = starling_in(directory.path(), &["run", "--quickstart"], &variables);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(&format!("cannot listen on {address}")), "{refused:?}");
        assert!(
            refused.stderr.contains("Address already in use") && refused.stderr.contains("stop what uses it")
        );
    }
}

#[test]
fn an_address_of_another_machine_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    for (variable, value) in
        [("STARLING_LISTEN_C2S", "['192.0.2.1:5222']"), ("STARLING_ADMIN_LISTEN", "192.0.2.1:5222")]
    {
        let variables = [PORTS, &[(variable, value)]].concat();
        let refused = starling_in(directory.path(), &["run", "--quickstart"], &variables);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let said = "cannot listen on 192.0.2.1:5222; this machine does not have that address";
        assert!(refused.stderr.contains(said), "{refused:?}");
    }
}
