//! Session-log rule 26: a client whose TCP answers nothing is dead, and its session waits; nobody else notices.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use starling_testkit::{Connection, Server, ServerOptions, TlsOptions};

/// A network of its own in which the server runs, and two addresses outside from which clients come.
struct Network {
    name: String,
    link: String,
}

const SERVER: &str = "198.18.7.1";
const VANISHING: [u8; 4] = [198, 18, 7, 2];
const STAYING: [u8; 4] = [198, 18, 7, 3];

impl Network {
    fn make() -> Network {
        let pid = std::process::id();
        let network = Network { name: format!("starling-{pid}"), link: format!("st{pid}") };
        let (name, link) = (&network.name, &network.link);
        for command in [
            format!("netns add {name}"),
            format!("link add {link} type veth peer name inside netns {name}"),
            format!("-n {name} addr add {SERVER}/29 dev inside"),
            format!("-n {name} link set inside up"),
            format!("-n {name} link set lo up"),
            // Each for itself: an address takes those of its range with it when it goes.
            format!("addr add {}/32 dev {link}", IpAddr::from(VANISHING)),
            format!("addr add {}/32 dev {link}", IpAddr::from(STAYING)),
            format!("link set {link} up"),
            format!("route add {SERVER}/32 dev {link}"),
        ] {
            ip(&command);
        }
        network
    }

    /// A script that starts `binary` inside, listening where clients outside reach it.
    fn wrap(&self, binary: &Path, directory: &Path) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;

        let script = directory.join("starling-inside");
        let listen = format!("export STARLING_LISTEN_C2S='[\"{SERVER}:0\"]' STARLING_LIMITS_DEAD_AFTER=3s");
        let text =
            format!("#!/bin/sh\n{listen}\nexec ip netns exec {} {} \"$@\"\n", self.name, binary.display());
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
        script
    }

    /// From now on nothing reaches the address, and nothing comes from it.
    fn vanish(&self, address: IpAddr) {
        ip(&format!("addr del {address}/32 dev {}", self.link));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.link]).status();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

async fn client(server: &Server, from: [u8; 4], name: &str) -> Connection {
    let request = json!({"op": "user-add", "jid": format!("{name}@localhost"), "password": "secret"});
    server.control(request).await.unwrap();
    let address = server.address("c2s").unwrap();
    let mut client = Connection::open_from(from.into(), address).await.unwrap();
    client.start_tls(&TlsOptions::new("localhost")).await.unwrap();
    client.login("localhost", name, "secret").await.unwrap();
    client.bind("desk").await.unwrap();
    client.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await.unwrap();
    client.element("enabled").await.unwrap();
    client
}

/// Whether a socket holds the session; `None` if it is gone.
async fn attached(server: &Server, jid: &str) -> Option<bool> {
    let answer = server.control(json!({"op": "session-list", "jid": jid})).await.unwrap();
    answer.pointer("/sessions/0/attached").and_then(Value::as_bool)
}

#[tokio::test]
async fn a_vanished_client_is_noticed_and_its_session_waits() {
    let directory = tempfile::tempdir().unwrap();
    let network = Network::make();
    let binary = network.wrap(Path::new(env!("CARGO_BIN_EXE_starling")), directory.path());
    let server = Server::start(&binary, &ServerOptions::default()).await.unwrap();
    let _gone = client(&server, VANISHING, "alice").await;
    let mut bob = client(&server, STAYING, "bob").await;

    network.vanish(VANISHING.into());
    let hello = "<message to='alice@localhost/desk' type='chat'><body>hello</body></message>";
    bob.write(hello).await.unwrap();
    let begun = Instant::now();
    assert_eq!(attached(&server, "alice@localhost").await, Some(true));
    while attached(&server, "alice@localhost").await == Some(true) {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody noticed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(attached(&server, "alice@localhost").await, Some(false), "it waits to be resumed");
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}: slow is not dead", begun.elapsed());
    assert_eq!(attached(&server, "bob@localhost").await, Some(true));
}
