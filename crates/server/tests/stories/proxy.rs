//! The PROXY protocol v2: a trusted proxy says for whom it speaks, and whether TLS ended there.

use std::net::IpAddr;
use std::time::Duration;

use starling_testkit::{Connection, Received, World};

/// `listen.trusted-proxies` of the stories.
const PROXY: [u8; 4] = [127, 0, 0, 9];

/// A header for a client at 192.0.2.7, with a record about TLS.
fn header(is_tls: bool) -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 127, 0, 0, 1, 0x30, 0x39, 0x14, 0x66];
    let record = [0x20, 0, 5, u8::from(is_tls), 0, 0, 0, 0];
    let length = (addresses.len() + record.len()) as u16;
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    bytes.extend(length.to_be_bytes());
    bytes.extend(addresses);
    bytes.extend(record);
    bytes
}

async fn connect(world: &World, source: [u8; 4], listener: &str) -> Connection {
    let server = world.server().await;
    let address = if listener == "plain" { server.plain() } else { server.address(listener).unwrap() };
    Connection::open_from(IpAddr::from(source), address).await.unwrap()
}

/// TLS that ended at the proxy is TLS: there is nothing to start, and nothing to bind a login to.
pub(crate) async fn tls_at_the_proxy_is_tls(world: &World) {
    let alice = world.user("alice").await;
    let mut client = connect(world, PROXY, "c2s").await;
    client.write_bytes(&header(true)).await.unwrap();
    client.header("localhost").await.unwrap();
    let features = client.element("features").await.unwrap();
    assert!(
        features.child("starttls").is_none() && features.child("sasl-channel-binding").is_none(),
        "{features}"
    );
    let mechanisms = features.child("mechanisms").unwrap();
    assert!(!mechanisms.children.iter().any(|one| one.text.ends_with("-PLUS")), "{features}");
    let mut client = connect(world, PROXY, "c2s").await;
    client.write_bytes(&header(true)).await.unwrap();
    client.login("localhost", alice.jid().split('@').next().unwrap(), "secret").await.unwrap();
}

/// Without it the client has still to begin TLS, also on a listener that would let its neighbours in.
pub(crate) async fn without_tls_at_the_proxy_nobody_signs_in(world: &World) {
    for listener in ["c2s", "plain"] {
        let mut client = connect(world, PROXY, listener).await;
        client.write_bytes(&header(false)).await.unwrap();
        client.header("localhost").await.unwrap();
        let features = client.element("features").await.unwrap();
        assert!(features.find(&["starttls", "required"]).is_some(), "{listener}: {features}");
        assert!(features.child("mechanisms").is_none(), "{listener}: {features}");
    }
}

/// Nobody else is believed.
pub(crate) async fn a_stranger_is_no_proxy(world: &World) {
    let mut client = connect(world, [127, 0, 0, 8], "c2s").await;
    client.write_bytes(&header(true)).await.unwrap();
    client.header("localhost").await.unwrap();
    let mut heard = Vec::new();
    loop {
        match client.next(Duration::from_secs(20)).await.unwrap() {
            Received::StreamEnd | Received::Eof => break,
            Received::Element(element, _) => heard.push(element),
            _ => {}
        }
    }
    assert!(heard.iter().all(|element| element.name == "error"), "{heard:?}");
}
