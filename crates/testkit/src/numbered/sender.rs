//! Sends numbered messages with XEP-0198, and sends again what was not acknowledged, as clients do.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Tree;
use starling_history::Id;

use super::stream::{Begun, Came, Kept, Stream};
use super::{AGAIN, Hosts, Notes, PATIENCE, SILENCE};

/// How many are on their way at once.
const WINDOW: usize = 32;
/// How many go out in one write, with a request for an acknowledgement behind them.
const AT_ONCE: usize = 8;
/// How often it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);

/// A message that is not acknowledged yet.
struct Outgoing {
    id: Id,
    xml: String,
}

/// One sender; its messages go to its receivers in turn.
pub struct Sender {
    name: String,
    receivers: Vec<String>,
    notes: Notes,
    next: u64,
    unacked: VecDeque<Outgoing>,
    /// How many of this stream's stanzas are acknowledged.
    acked: u64,
    kept: Kept,
    is_impatient: bool,
}

impl Sender {
    /// A sender to these accounts in turn, that has not connected yet.
    pub fn new(name: &str, receivers: &[&str], notes: &Notes) -> Sender {
        Sender {
            name: name.to_owned(),
            receivers: receivers.iter().map(|&name| name.to_owned()).collect(),
            notes: notes.clone(),
            next: 1,
            unacked: VecDeque::new(),
            acked: 0,
            kept: Kept::default(),
            is_impatient: false,
        }
    }

    /// One that takes a server for dead which acknowledges nothing, and goes elsewhere.
    pub fn impatient(self) -> Sender {
        Sender { is_impatient: true, ..self }
    }

    /// Connects; resumes, or else begins a new session and sends all again that was not acknowledged.
    pub async fn connect(&mut self, address: SocketAddr) -> (Stream, bool) {
        self.try_connect(address).await.unwrap()
    }

    /// The same, where the server may not be able to.
    pub async fn try_connect(&mut self, address: SocketAddr) -> anyhow::Result<(Stream, bool)> {
        let (mut stream, begun) = Stream::open(address, &self.name, "sender", self.kept.clone()).await?;
        let resumed = matches!(begun, Begun::Resumed(_));
        if let Some(first) = self.unacked.front() {
            let (name, waits) = (&self.name, self.unacked.len());
            self.notes.began(format!("{name}: {begun:?}, {waits} unacknowledged from {}", first.id.number));
        }
        let again = match begun {
            Begun::Resumed(h) => {
                self.take_ack(h);
                self.unacked.iter().map(|outgoing| outgoing.xml.clone()).collect::<String>()
            }
            Begun::New(told) => {
                if let Some(h) = told {
                    self.take_ack(h);
                }
                self.acked = 0;
                self.unacked.iter().map(Outgoing::late).collect()
            }
        };
        stream.write(&again).await?;
        Ok((stream, resumed))
    }

    /// Sends on and on, through lost connections, to any of `hosts`, until it is told to stop.
    pub async fn insist(mut self, hosts: Hosts, stop: Arc<AtomicBool>) -> Sender {
        let mut host = hosts.first_for(&self.name);
        while !stop.load(Ordering::Relaxed) {
            match self.try_connect(hosts.nth(host)).await {
                Ok((stream, _)) => self = self.run(stream, stop.clone()).await,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
            host += 1;
        }
        self
    }

    /// Sends until it is stopped or the server is gone.
    pub async fn run(mut self, mut stream: Stream, stop: Arc<AtomicBool>) -> Sender {
        let (mut is_asking, mut acked, mut heard) = (false, self.acked, Instant::now());
        while !stop.load(Ordering::Relaxed) {
            let mut text = String::new();
            while self.unacked.len() < WINDOW && !is_asking {
                text.push_str(&self.message());
                is_asking = self.next.is_multiple_of(AT_ONCE as u64);
            }
            text.push_str("<r xmlns='urn:xmpp:sm:3'/>");
            if stream.write(&text).await.is_err() {
                break;
            }
            is_asking = false;
            if !self.listen(&mut stream, WINDOW - AT_ONCE).await {
                break;
            }
            if self.acked != acked {
                (acked, heard) = (self.acked, Instant::now());
            }
            if self.is_impatient && heard.elapsed() > SILENCE {
                break;
            }
        }
        self.kept = stream.cut();
        self
    }

    /// Sends one after the other, each when the one before is acknowledged, until it is stopped.
    pub async fn run_slowly(mut self, mut stream: Stream, stop: Arc<AtomicBool>) -> Sender {
        while !stop.load(Ordering::Relaxed) {
            let text = self.message() + "<r xmlns='urn:xmpp:sm:3'/>";
            stream.write(&text).await.unwrap();
            assert!(self.listen(&mut stream, 0).await, "{}: the server is gone", self.name);
        }
        self.kept = stream.cut();
        self
    }

    /// Waits until everything is acknowledged.
    pub async fn finish(&mut self, mut stream: Stream) {
        stream.write("<r xmlns='urn:xmpp:sm:3'/>").await.unwrap();
        assert!(self.listen(&mut stream, 0).await, "{}: the server is gone", self.name);
        // Errors may come behind the acknowledgement: up to the answer to a ping all are here. The ping counts, too.
        self.acked += 1;
        self.ping(&mut stream).await;
        self.kept = stream.cut();
    }

    /// Sends some that the server handles, and hears no acknowledgement of them; then the socket is lost.
    pub async fn leave_unasked(&mut self, mut stream: Stream, count: usize) {
        let text: String = (0..count).map(|_| self.message()).collect();
        stream.write(&text).await.unwrap();
        self.ping(&mut stream).await;
        self.kept = stream.cut();
    }

    /// Returns when everything sent before is handled.
    async fn ping(&self, stream: &mut Stream) {
        stream.write("<iq type='get' id='end'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
        while let Some(came) = stream.poll(PATIENCE).await {
            match came {
                Came::Stanza(tree) if tree.attr("id") == Some("end") => return,
                Came::Stanza(tree) => self.note(&tree),
                Came::Asked => stream.acknowledge().await.unwrap(),
                Came::Acked(_) => {}
                Came::End => break,
            }
        }
        panic!("{}: the server is gone", self.name);
    }

    fn note(&self, tree: &Tree) {
        let number = tree.attr("id").and_then(|id| id.parse().ok());
        if let (Some("error"), Some(number)) = (tree.attr("type"), number) {
            self.notes.open().refused(&Id::new(&self.name, number));
        }
    }

    /// Reads until at most `most` are unacknowledged, or a while is over; `false` at the end of the stream.
    async fn listen(&mut self, stream: &mut Stream, most: usize) -> bool {
        let mut silent = 0;
        while self.unacked.len() > most && (silent < 5 || most == 0) {
            match stream.poll(LOOK).await {
                None => silent += 1,
                Some(Came::Acked(h)) => self.take_ack(h),
                Some(Came::Asked) => {
                    if stream.acknowledge().await.is_err() {
                        return false;
                    }
                }
                Some(Came::Stanza(tree)) => self.note(&tree),
                Some(Came::End) => return false,
            }
            assert!(silent < 3000, "{}: no acknowledgement of {} messages", self.name, self.unacked.len());
        }
        true
    }

    fn take_ack(&mut self, h: u64) {
        while self.acked < h {
            self.acked += 1;
            let Some(outgoing) = self.unacked.pop_front() else { panic!("{}: acked too much", self.name) };
            self.notes.open().acked(&outgoing.id);
        }
    }

    fn message(&mut self) -> String {
        let number = self.next;
        self.next += 1;
        let to = self.receivers.get(number as usize % self.receivers.len()).unwrap();
        let name = &self.name;
        let xml = format!(
            "<message to='{to}@localhost' type='chat' id='{number}'><body>{name} {number} {}</body>\
             <origin-id xmlns='urn:xmpp:sid:0' id='{name}-{number}'/></message>",
            "x".repeat(number as usize % 300)
        );
        let id = Id::new(name, number);
        self.notes.open().sent(id.clone(), to);
        self.unacked.push_back(Outgoing { id, xml: xml.clone() });
        xml
    }
}

impl Outgoing {
    /// As clients send it again in a new session (XEP-0198 §5 and XEP-0203).
    fn late(&self) -> String {
        let delay = "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/></message>";
        self.xml.replace("</message>", delay)
    }
}
