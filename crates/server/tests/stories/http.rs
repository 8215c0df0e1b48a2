//! XEP-0156 and what else the HTTP listener owes to whoever asks.

use std::time::Instant;

use starling_testkit::{World, http};

async fn get(world: &World, listener: &str, path: &str) -> String {
    let address = world.server().await.address(listener).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: chat.example:5280\r\nConnection: close\r\n\r\n");
    http(address, &request).await.unwrap()
}

/// XEP-0156 §3: both forms, for pages of any host, with addresses as the client came; where it could not sign in as it came, where
/// it can.
pub(crate) async fn host_meta_says_where_to_connect(world: &World) {
    let xml = get(world, "http", "/.well-known/host-meta").await;
    assert!(xml.starts_with("HTTP/1.1 200 ") && xml.contains("access-control-allow-origin: *\r\n"), "{xml}");
    assert!(xml.contains("content-type: application/xrd+xml"), "{xml}");
    let port = world.server().await.address("https").unwrap().port();
    for (rel, href) in [
        ("websocket", format!("wss://chat.example:{port}/ws")),
        ("xbosh", format!("https://chat.example:{port}/bosh")),
    ] {
        let link = format!("<Link rel='urn:xmpp:alt-connections:{rel}' href='{href}'/>");
        assert!(xml.contains(&link), "{xml}");
    }
    let json = get(world, "plain-http", "/.well-known/host-meta.json").await;
    assert!(json.contains("content-type: application/json\r\n"), "{json}");
    assert!(json.contains("access-control-allow-origin: *\r\n"), "{json}");
    let link = "{\"rel\":\"urn:xmpp:alt-connections:websocket\",\"href\":\"ws://chat.example:5280/ws\"}";
    assert!(json.contains(link), "{json}");
}

/// There are no files but those of the page, which is served only where it is wanted.
pub(crate) async fn there_is_nothing_else(world: &World) {
    for path in
        ["/", "/chat.js", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..;/metrics", "/metrics"]
    {
        let answer = get(world, "plain-http", path).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}

/// Who says nothing, or says it slowly, is not waited for.
pub(crate) async fn a_slow_request_is_not_waited_for(world: &World) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let address = world.server().await.address("http").unwrap();
    let begun = Instant::now();
    let drip = async |begin: &str| {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(begin.as_bytes()).await.unwrap();
        let (mut read, mut write) = socket.into_split();
        let mut answer = Vec::new();
        let mut every = tokio::time::interval(std::time::Duration::from_secs(2));
        loop {
            tokio::select! {
                ended = read.read_to_end(&mut answer) => break drop(ended),
                _ = every.tick() => drop(write.write_all(b"x").await),
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    let (head, silent) = tokio::join!(drip("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "), drip(""));
    assert!(!head.contains(" 200 ") && !silent.contains(" 200 "));
    assert!(begun.elapsed().as_secs() < 80, "{:?}", begun.elapsed());
}
