//! A network that loses the reply to a script which was done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    armed: Arc<AtomicBool>,
}

impl Proxy {
    /// Before the Redis on `port`.
    pub(crate) async fn start(port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = Proxy { address: listener.local_addr().unwrap(), armed: Arc::default() };
        let armed = proxy.armed.clone();
        let carriers = TaskTracker::new();
        TaskTracker::new().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                carriers.spawn(carry(client, port, armed.clone()));
            }
        });
        proxy
    }

    /// The next script that writes is done, and its caller does not hear of it.
    pub(crate) fn lose_one(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_lost(&self) -> bool {
        !self.armed.load(Ordering::SeqCst)
    }
}

async fn carry(mut client: TcpStream, port: u16, armed: Arc<AtomicBool>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut loses = false;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let sent = &up[..count];
                // A script that only looks has an empty stamp.
                let writes = sent.windows(7).any(|part| part == b"EVALSHA")
                    && !sent.windows(12).any(|part| part == b"$0\r\n\r\n$0\r\n\r\n");
                loses |= writes && armed.swap(false, Ordering::SeqCst);
                if server.write_all(sent).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                if loses || client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
