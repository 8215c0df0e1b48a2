//! Who only takes places of a listener for administration keeps nobody out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use starling_testkit::{Server, http};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::admin::get;
use crate::api::{config, sent, token};
use crate::starling::{server, until};

/// So many that connect, say nothing, and come again as soon as they are let go.
fn silent(address: SocketAddr, many: usize) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for _ in 0..many {
        all.spawn(async move {
            loop {
                if let Ok(mut socket) = TcpStream::connect(address).await {
                    let _gone = socket.read(&mut [0; 1]).await;
                }
            }
        });
    }
    all
}

async fn ended(server: &Server, listener: &str) -> u64 {
    let (_, text) = get(server.address("admin").unwrap(), "/metrics").await;
    let line = format!("starling_admin_connections_ended_total{{listener=\"{listener}\"}} ");
    text.lines().find_map(|one| one.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn silent_connections_keep_no_administrator_out() {
    let server = server(&config()).await;
    let address = server.address("api").unwrap();
    assert_eq!(ended(&server, "api").await, 0);
    let _silent = silent(address, 40);
    until("places are taken", async || ended(&server, "api").await > 0).await;
    let bearer = format!("Bearer {}", token("looks"));
    for _ in 0..20 {
        let begun = Instant::now();
        let answer = sent(address, "GET", "/v1/users", &[("authorization", &bearer)], "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

/// A kubelet restarts whoever does not answer for a second, a few times.
#[tokio::test]
async fn silent_connections_do_not_make_a_server_look_dead() {
    let server = server("").await;
    let address = server.address("admin").unwrap();
    let _silent = silent(address, 200);
    until("places are taken", async || ended(&server, "admin").await > 0).await;
    for path in ["/livez", "/readyz", "/startupz", "/livez"] {
        let begun = Instant::now();
        assert_eq!(get(address, path).await, (200, "ok\n".to_owned()), "{path}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{path}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn who_asks_nothing_is_let_go() {
    let server = server(&config()).await;
    for address in [server.address("api").unwrap(), server.address("admin").unwrap()] {
        let (begun, mut socket) = (Instant::now(), TcpStream::connect(address).await.unwrap());
        assert_eq!(socket.read(&mut [0; 1]).await.unwrap_or_default(), 0);
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert!(http(address, request).await.unwrap().starts_with("HTTP/1.1"));
    }
}
