//! The raw limit: a relay of lines between pairs of sockets, without XML, rules, store or promise, and its load.

use crate::options::Options;
use crate::process;
use crate::sessions::{Report, micros};
use crate::stats::{Sequence, Tally};
use anyhow::{Context as _, Result};
use serde_json::json;
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
pub(crate) async fn serve() -> Result<Report> {
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
    Ok((json!({ "load": "relay" }), "relay: ended".to_owned()))
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

/// The same pairs, windows and checks as `chat`, over lines of `bytes` bytes.
pub(crate) async fn load(
    options: Arc<Options>,
    pairs: u32,
    in_flight: usize,
    bytes: usize,
    seconds: u64,
) -> Result<Report> {
    let mut sockets = Vec::new();
    for number in 0..pairs * 2 {
        let mut socket = TcpStream::connect(options.target()?).await?;
        socket.set_nodelay(true)?;
        socket.write_u32(number).await?;
        socket.read_u8().await?;
        sockets.push(socket.into_split());
    }
    let before = process::read(&options.server_pid)?;
    let (began, stop) = (Instant::now(), Instant::now() + Duration::from_secs(seconds));
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    let (mut sockets, mut kept, mut open) = (sockets.into_iter(), Vec::new(), Vec::new());
    while let (Some((idle, write)), Some((read, other))) = (sockets.next(), sockets.next()) {
        let window = Arc::new(Semaphore::new(in_flight));
        writers.spawn(send(write, window.clone(), in_flight, bytes, began, stop));
        readers.spawn(receive(read, window, began, stop + DRAIN));
        kept.push((idle, other));
    }
    let mut tally = Tally::new()?;
    while let Some(done) = writers.join_next().await {
        let (write, sent) = done??;
        tally.sent += sent;
        open.push(write);
    }
    while let Some(done) = readers.join_next().await {
        let (sequence, latencies) = done??;
        tally.add(&sequence);
        latencies.into_iter().for_each(|micros| tally.took(micros));
    }
    let after = process::read(&options.server_pid)?;
    let cpu = after.cpu_us_since(&before) / tally.received.max(1) as f64;
    let (rate, lost) = (tally.received as f64 / seconds.max(1) as f64, tally.lost());
    let json = json!({
        "load": "relay", "pairs": pairs, "in_flight": in_flight, "per_second": rate, "lost": lost,
        "doubled": tally.doubled, "reordered": tally.reordered, "server_cpu_us_per_message": cpu,
        "latency": tally.latency(),
    });
    Ok((json, format!("relay: {rate:.0} lines/s, {cpu:.1} us of CPU each, lost {lost}")))
}

/// Writes as many lines as the window lets, in one go.
async fn send(
    mut write: OwnedWriteHalf,
    window: Arc<Semaphore>,
    in_flight: usize,
    bytes: usize,
    began: Instant,
    stop: Instant,
) -> Result<(OwnedWriteHalf, u64)> {
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
    Ok((write, sent))
}

async fn receive(
    mut read: OwnedReadHalf,
    window: Arc<Semaphore>,
    began: Instant,
    deadline: Instant,
) -> Result<(Sequence, Vec<u64>)> {
    let (mut sequence, mut latencies, mut buffer) = (Sequence::default(), Vec::new(), Vec::new());
    while let Ok(length) = timeout_at(deadline, read.read_buf(&mut buffer)).await {
        if length? == 0 {
            break;
        }
        let whole = memchr::memrchr(b'\n', &buffer).map_or(0, |end| end + 1);
        let mut freed = 0;
        for line in buffer.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n') {
            let mut words = line.split(|byte| *byte == b' ').map(crate::chat::number);
            let (Some(Some(index)), Some(Some(sent_at))) = (words.next(), words.next()) else { continue };
            sequence.note(index);
            latencies.push(micros(began.elapsed()).saturating_sub(sent_at));
            freed += 1;
        }
        buffer.drain(..whole);
        window.add_permits(freed);
    }
    Ok((sequence, latencies))
}
