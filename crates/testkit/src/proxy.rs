//! Between a node and a store, a client and its node, or two nodes: what is answered can be late, or lost, so that whoever asked cannot
//! know whether it was done.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How many pieces of answers may be late at once on one connection; then the store is not read.
const LATE: usize = 1024;

/// What is done with connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Way {
    /// What is answered is read and thrown away.
    loses: bool,
    /// What is answered comes so much later.
    late: Duration,
    /// What is asked comes so much later.
    asked_late: Duration,
    /// Connections of a former number are closed.
    number: u64,
}

/// Passes bytes on to `store` until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    way: watch::Sender<Way>,
    lost: Arc<AtomicU64>,
    /// Ends with it.
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// On a port of loopback that is free.
    pub fn start(store: SocketAddr) -> Result<Proxy> {
        Proxy::start_at(IpAddr::V4(Ipv4Addr::LOCALHOST), store)
    }

    /// The same on an address of this machine.
    pub fn start_at(host: IpAddr, store: SocketAddr) -> Result<Proxy> {
        Proxy::start_on(std::net::TcpListener::bind((host, 0))?, store)
    }

    /// The same where somebody listens already.
    pub fn start_on(listener: std::net::TcpListener, store: SocketAddr) -> Result<Proxy> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (way, ways) = watch::channel(Way::default());
        let lost = Arc::<AtomicU64>::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, store, ways, lost.clone()));
        Ok(Proxy { address, way, lost, _accepting: accepting })
    }

    /// Where the node finds its store.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For so long what is asked is passed on and what is answered is lost; then all connections are closed. Says how many bytes were
    /// lost.
    pub async fn lose_replies(&self, during: Duration) -> u64 {
        let before = self.lost.load(Ordering::Relaxed);
        self.way.send_modify(|way| way.loses = true);
        tokio::time::sleep(during).await;
        self.way.send_modify(|way| *way = Way { loses: false, number: way.number + 1, ..*way });
        self.lost.load(Ordering::Relaxed) - before
    }

    /// All connections are closed; new ones are passed on.
    pub fn cut(&self) {
        self.way.send_modify(|way| way.number += 1);
    }

    /// From now on what is answered comes so much later, in its order.
    pub fn delay_replies(&self, late: Duration) {
        self.way.send_modify(|way| way.late = late);
    }

    /// The same of what is asked, too.
    pub fn delay(&self, late: Duration) {
        self.way.send_modify(|way| *way = Way { late, asked_late: late, ..*way });
    }
}

async fn accept(listener: TcpListener, store: SocketAddr, ways: watch::Receiver<Way>, lost: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((node, _)) = accepted else { continue };
                connections.spawn(pass(node, store, ways.clone(), lost.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until one side closes it, or its number is over.
async fn pass(node: TcpStream, store: SocketAddr, ways: watch::Receiver<Way>, lost: Arc<AtomicU64>) {
    let number = ways.borrow().number;
    let Ok(store) = TcpStream::connect(store).await else { return };
    let _ = (node.set_nodelay(true), store.set_nodelay(true));
    let (from_node, mut to_node) = node.into_split();
    let (from_store, mut to_store) = store.into_split();
    let ((late, answers), (asked_late, questions)) = (mpsc::channel(LATE), mpsc::channel(LATE));
    let now = ways.clone();
    let asking = async {
        tokio::join!(ask(from_node, ways.clone(), asked_late), hand_on(questions, &mut to_store));
    };
    let answering = async {
        tokio::join!(hear(from_store, now, number, lost, late), hand_on(answers, &mut to_node));
    };
    let mut over = ways.clone();
    tokio::select! {
        () = asking => {}
        () = answering => {}
        _ = over.wait_for(|way| way.number != number) => {}
    }
}

/// What a store answers, or is asked, and when it is to arrive.
type Answer = (Instant, Vec<u8>);

async fn ask(mut node: OwnedReadHalf, ways: watch::Receiver<Way>, late: mpsc::Sender<Answer>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = node.read(&mut bytes).await {
        let at = Instant::now() + ways.borrow().asked_late;
        let asked = bytes.get(..length).unwrap_or_default().to_vec();
        if late.send((at, asked)).await.is_err() {
            return;
        }
    }
}

async fn hear(
    mut store: OwnedReadHalf,
    ways: watch::Receiver<Way>,
    number: u64,
    lost: Arc<AtomicU64>,
    late: mpsc::Sender<Answer>,
) {
    let mut bytes = vec![0; 16 * 1024];
    // One answer that is missing, and nothing behind it makes sense.
    let mut has_lost = false;
    while let Ok(length @ 1..) = store.read(&mut bytes).await {
        let way = *ways.borrow();
        has_lost |= way.loses || way.number != number;
        if has_lost {
            lost.fetch_add(length as u64, Ordering::Relaxed);
            continue;
        }
        let answer = bytes.get(..length).unwrap_or_default().to_vec();
        if late.send((Instant::now() + way.late, answer)).await.is_err() {
            return;
        }
    }
}

async fn hand_on(mut answers: mpsc::Receiver<Answer>, to: &mut OwnedWriteHalf) {
    while let Some((at, answer)) = answers.recv().await {
        tokio::time::sleep_until(at).await;
        if to.write_all(&answer).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each byte with itself, and counts them.
    async fn store(asked: Arc<AtomicU64>) -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, mut tasks) = (listener.local_addr().unwrap(), JoinSet::new());
        tasks.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                while let Ok(byte) = socket.read_u8().await {
                    asked.fetch_add(1, Ordering::Relaxed);
                    socket.write_u8(byte).await.unwrap();
                }
            }
        });
        (address, tasks)
    }

    #[tokio::test]
    async fn what_is_asked_arrives_and_what_is_answered_is_lost() {
        let asked = Arc::<AtomicU64>::default();
        let (address, _tasks) = store(asked.clone()).await;
        let proxy = Proxy::start(address).unwrap();
        let mut node = TcpStream::connect(proxy.address()).await.unwrap();
        node.write_u8(1).await.unwrap();
        assert_eq!(node.read_u8().await.unwrap(), 1);
        let ask = async {
            node.write_u8(2).await.unwrap();
            node.read_u8().await.unwrap_err()
        };
        let (lost, _) = tokio::join!(proxy.lose_replies(Duration::from_millis(500)), ask);
        assert_eq!((lost, asked.load(Ordering::Relaxed)), (1, 2));
        let mut node = TcpStream::connect(proxy.address()).await.unwrap();
        node.write_u8(3).await.unwrap();
        assert_eq!(node.read_u8().await.unwrap(), 3, "the next connection is whole");
        proxy.cut();
        node.read_u8().await.unwrap_err();
    }

    #[tokio::test]
    async fn what_is_answered_late_is_answered_in_order_and_not_one_after_the_other() {
        let late = Duration::from_secs(1);
        let (address, _tasks) = store(Arc::default()).await;
        let proxy = Proxy::start(address).unwrap();
        proxy.delay_replies(late);
        let mut node = TcpStream::connect(proxy.address()).await.unwrap();
        let begun = Instant::now();
        for byte in 0..60 {
            node.write_u8(byte).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answers = [0; 60];
        node.read_exact(&mut answers).await.unwrap();
        assert!(answers.iter().copied().eq(0..60), "{answers:?}");
        assert!(begun.elapsed() >= late && begun.elapsed() < 30 * late, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_delay_is_one_of_both_directions() {
        let late = Duration::from_millis(300);
        let (address, _tasks) = store(Arc::default()).await;
        let proxy = Proxy::start(address).unwrap();
        proxy.delay(late);
        let mut node = TcpStream::connect(proxy.address()).await.unwrap();
        let begun = Instant::now();
        node.write_u8(7).await.unwrap();
        assert_eq!(node.read_u8().await.unwrap(), 7);
        assert!(begun.elapsed() >= 2 * late, "{:?}", begun.elapsed());
    }
}
