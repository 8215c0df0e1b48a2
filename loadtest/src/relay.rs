//! The raw limit: a relay of lines between pairs of sockets, without XML, rules, store or promise, and its load.

use crate::check::{Findings, Sequence};
use crate::mark::number;
use crate::process::Servers;
use crate::recorder::{histogram, micros};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Lines that wait for one socket.
const QUEUE: usize = 64;
/// Nobody measures longer than this.
const LIFE: Duration = Duration::from_secs(600);
/// How long what is on its way may take after the last line was sent.
const DRAIN: Duration = Duration::from_secs(2);

type Peers = Arc<Mutex<HashMap<u32, mpsc::Sender<Vec<u8>>>>>;

/// Says its port, then relays what socket 2n sends to socket 2n+1, until it is killed.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    let (peers, mut end) = (Peers::default(), std::pin::pin!(tokio::time::sleep(LIFE)));
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (socket, _) = accepted?;
                socket.set_nodelay(true)?;
                tasks.spawn(relay(socket, peers.clone()));
            }
            () = &mut end => break,
        }
    }
    Ok(())
}

/// One socket: its first four bytes are its number, everything after goes to its neighbour.
async fn relay(socket: TcpStream, peers: Peers) -> Result<()> {
    let (mut read, mut write) = socket.into_split();
    let number = read.read_u32().await?;
    let (sender, mut queue) = mpsc::channel::<Vec<u8>>(QUEUE);
    peers.lock().unwrap_or_else(PoisonError::into_inner).insert(number, sender);
    write.write_u8(b'\n').await?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            length = read.read(&mut buffer) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                let peer = peers.lock().unwrap_or_else(PoisonError::into_inner).get(&(number ^ 1)).cloned();
                let peer = peer.context("no neighbour")?;
                peer.send(buffer.get(..length).unwrap_or_default().to_vec()).await?;
            }
            Some(first) = queue.recv() => {
                let mut batch = first;
                while let Ok(more) = queue.try_recv() {
                    batch.extend(more);
                }
                write.write_all(&batch).await?;
            }
        }
    }
}

/// The same pairs, windows and checks as a chat, over lines of `bytes` bytes; its figures under the same names.
pub(crate) async fn load(
    port: u16,
    pid: u32,
    pairs: u32,
    in_flight: usize,
    bytes: usize,
    seconds: u64,
) -> Result<Value> {
    let mut sockets = Vec::new();
    for number in 0..pairs * 2 {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        socket.write_u32(number).await?;
        socket.read_u8().await?;
        sockets.push(socket.into_split());
    }
    let server = Servers { pids: vec![pid], ..Servers::default() };
    let (before, _) = server.read().await?;
    let (began, stop) = (Instant::now(), Instant::now() + Duration::from_secs(seconds));
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    let (mut sockets, mut kept, mut flow) = (sockets.into_iter(), Vec::new(), 0_usize);
    while let (Some((idle, write)), Some((read, other))) = (sockets.next(), sockets.next()) {
        let window = Arc::new(Semaphore::new(in_flight));
        writers.spawn(send(flow, write, window.clone(), in_flight, bytes, began, stop));
        readers.spawn(receive(flow, read, window, began, stop + DRAIN));
        kept.push((idle, other));
        flow += 1;
    }
    let (mut sent, mut open, mut findings, mut latency) =
        (vec![0; flow], Vec::new(), Findings::default(), histogram());
    while let Some(done) = writers.join_next().await {
        let (flow, write, count) = done??;
        sent.get_mut(flow).into_iter().for_each(|sent| *sent = count);
        open.push(write);
    }
    while let Some(done) = readers.join_next().await {
        let (flow, sequence, latencies) = done??;
        findings.judge("relay", &sequence, sent.get(flow).copied().unwrap_or(0), 0);
        latencies.into_iter().for_each(|micros| latency.saturating_record(micros));
    }
    let cpu = server.read().await?.0.cpu_us_since(&before) / findings.received.max(1) as f64;
    let rate = findings.received as f64 / seconds.max(1) as f64;
    Ok(json!({ "figures": {
        "lost": findings.lost, "doubled": findings.doubled, "reordered": findings.reordered,
        "server-cpu-us-per-operation": cpu, "delivery.per-second": rate,
        "delivery.p50-ms": latency.value_at_quantile(0.5) as f64 / 1000.0,
        "delivery.p99-ms": latency.value_at_quantile(0.99) as f64 / 1000.0,
    } }))
}

/// Writes as many lines as the window lets, in one go.
async fn send(
    flow: usize,
    mut write: OwnedWriteHalf,
    window: Arc<Semaphore>,
    in_flight: usize,
    bytes: usize,
    began: Instant,
    stop: Instant,
) -> Result<(usize, OwnedWriteHalf, u64)> {
    let (mut sent, mut batch) = (0_u64, String::new());
    while let Ok(permit) = timeout_at(stop, window.acquire()).await {
        permit?.forget();
        for _ in 0..=window.forget_permits(in_flight) {
            let start = batch.len();
            batch.push_str(&format!("{sent} {} ", micros(began.elapsed())));
            batch.extend(std::iter::repeat_n('x', bytes.saturating_sub(batch.len() - start + 1)));
            batch.push('\n');
            sent += 1;
        }
        write.write_all(batch.as_bytes()).await?;
        batch.clear();
        if Instant::now() >= stop {
            break;
        }
    }
    Ok((flow, write, sent))
}

async fn receive(
    flow: usize,
    mut read: OwnedReadHalf,
    window: Arc<Semaphore>,
    began: Instant,
    deadline: Instant,
) -> Result<(usize, Sequence, Vec<u64>)> {
    let (mut sequence, mut latencies, mut buffer) = (Sequence::default(), Vec::new(), Vec::new());
    while let Ok(length) = timeout_at(deadline, read.read_buf(&mut buffer)).await {
        if length? == 0 {
            break;
        }
        let whole = memchr::memrchr(b'\n', &buffer).map_or(0, |end| end + 1);
        let mut freed = 0;
        for line in buffer.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n') {
            let mut words = line.split(|byte| *byte == b' ').map(number);
            let (Some(Some(index)), Some(Some(sent_at))) = (words.next(), words.next()) else { continue };
            sequence.note(index);
            latencies.push(micros(began.elapsed()).saturating_sub(sent_at));
            freed += 1;
        }
        buffer.drain(..whole);
        window.add_permits(freed);
    }
    Ok((flow, sequence, latencies))
}
