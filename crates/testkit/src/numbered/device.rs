//! A receiving device: notes what comes, and acknowledges it, or not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Tree;
use starling_history::{Id, Receipt};

use super::stream::{Begun, Came, Kept, Stream};
use super::{AGAIN, Hosts, Notes, PATIENCE, SILENCE};

/// How often it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);

/// Without a message for so long, it looks whether there are more to come.
const PAUSE: Duration = Duration::from_millis(100);
/// How long it waits for what may not come.
const QUIET: Duration = Duration::from_secs(1);

/// What it does with what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Acknowledges when it is asked.
    Answers,
    /// Acknowledges nothing.
    KeepsSilent,
    /// The same, and asks, too: a server that does not answer it takes for dead, and goes elsewhere.
    Asks,
    /// Acknowledges when it is asked, and loses its socket after so many messages.
    IsCutAfter(usize),
}

/// One device of an account. As a contact of others it also notes when it sees one of them go.
#[derive(Debug)]
pub struct Recipient {
    account: String,
    resource: String,
    notes: Notes,
    stream: u32,
    kept: Kept,
}

impl Recipient {
    /// A device that has not connected yet.
    pub fn new(account: &str, resource: &str, notes: &Notes) -> Recipient {
        let (account, resource) = (account.to_owned(), resource.to_owned());
        Recipient { account, resource, notes: notes.clone(), stream: 0, kept: Kept::default() }
    }

    /// Whether it is one of `account`.
    pub fn is(&self, account: &str) -> bool {
        self.account == account
    }

    /// Its account and its resource.
    pub fn name(&self) -> String {
        format!("{}/{}", self.account, self.resource)
    }

    /// How many streams it has begun; a resumed one is the same stream.
    pub fn streams(&self) -> u32 {
        self.stream
    }

    /// How many different messages came on the present stream.
    pub fn came(&self) -> usize {
        self.notes.open().came(&format!("{}/{}", self.account, self.resource), self.stream)
    }

    /// Connects, resumes if it can, and is available. Says whether it resumed.
    pub async fn connect(&mut self, address: SocketAddr) -> (Stream, bool) {
        self.try_connect(address).await.unwrap()
    }

    /// The same, where the server may not be able to.
    pub async fn try_connect(&mut self, address: SocketAddr) -> anyhow::Result<(Stream, bool)> {
        let kept = self.kept.clone();
        let (mut stream, begun) = Stream::open(address, &self.account, &self.resource, kept).await?;
        self.kept = Kept::default();
        let resumed = matches!(begun, Begun::Resumed(_));
        self.stream += u32::from(!resumed);
        if !resumed || begun == Begun::Resumed(0) {
            stream.write("<presence/>").await?; // the first that it sends, and sends again where that was not handled
        }
        Ok((stream, resumed))
    }

    /// Reads on and on, through lost connections, on any of `hosts`, until it is told to stop.
    pub async fn insist(mut self, hosts: Hosts, habit: Habit, stop: Arc<AtomicBool>) -> Recipient {
        let mut host = hosts.first_for(&self.account);
        while !stop.load(Ordering::Relaxed) {
            match self.try_connect(hosts.nth(host)).await {
                Ok((stream, _)) => self = self.run(stream, hosts.nth(host), habit, stop.clone()).await,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
            host += 1;
        }
        self
    }

    /// Reads until it is stopped or the server is gone, through cuts and resumptions.
    pub async fn run(
        mut self,
        mut stream: Stream,
        address: SocketAddr,
        habit: Habit,
        stop: Arc<AtomicBool>,
    ) -> Recipient {
        let (mut messages, mut heard, mut asked) = (0, Instant::now(), false);
        while !stop.load(Ordering::Relaxed) {
            match stream.poll(LOOK).await {
                None if habit == Habit::Asks && heard.elapsed() > SILENCE => break,
                None if habit == Habit::Asks && heard.elapsed() > SILENCE / 2 && !asked => {
                    asked = true;
                    let _ = stream.write("<r xmlns='urn:xmpp:sm:3'/>").await;
                }
                None => {}
                Some(Came::End) => break,
                Some(came) => {
                    (heard, asked) = (Instant::now(), false);
                    messages += usize::from(self.take(&mut stream, came, habit).await);
                }
            }
            if let Habit::IsCutAfter(most) = habit
                && messages >= most
            {
                messages = 0;
                self.kept = stream.cut();
                let kept = self.kept.clone();
                let opened = Stream::open(address, &self.account, &self.resource, kept).await;
                let Ok((again, begun)) = opened else { return self }; // the server was killed meanwhile
                assert!(matches!(begun, Begun::Resumed(_)), "{}: not resumed: {begun:?}", self.account);
                stream = again;
            }
        }
        self.kept = stream.cut();
        self
    }

    /// Reads until `enough`, or nothing comes for so long.
    pub async fn read(
        &mut self,
        stream: &mut Stream,
        habit: Habit,
        silence: Duration,
        enough: impl Fn(&Recipient) -> bool,
    ) {
        while !enough(self) {
            match stream.poll(silence).await {
                None | Some(Came::End) => return,
                Some(came) => drop(self.take(stream, came, habit).await),
            }
        }
    }

    /// Reads until all that was acknowledged to senders and is for its account has come, and then until nothing more comes.
    pub async fn read_all(&mut self, stream: &mut Stream) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && !self.notes.open().is_delivered(&self.account) {
            self.read(stream, Habit::Answers, PAUSE, |_| false).await;
        }
        self.read(stream, Habit::Answers, QUIET, |_| false).await;
    }

    /// Cuts the socket; what was kept of the stream is used by the next `connect`.
    pub fn cut(&mut self, stream: Stream) {
        self.kept = stream.cut();
    }

    /// Says what has come, unasked, and closes its stream: the session is over.
    pub async fn leave(&mut self, mut stream: Stream) {
        self.kept = Kept::default();
        stream.acknowledge().await.unwrap();
        stream.write("</stream:stream>").await.unwrap();
        while !matches!(stream.poll(PATIENCE).await, None | Some(Came::End)) {}
    }

    /// Whether it was a message.
    async fn take(&mut self, stream: &mut Stream, came: Came, habit: Habit) -> bool {
        match came {
            Came::Stanza(tree) => self.note(&tree),
            Came::Asked if habit != Habit::KeepsSilent => {
                let _ = stream.acknowledge().await; // a socket that is gone is noticed by the next read
                false
            }
            Came::Asked | Came::Acked(_) | Came::End => false,
        }
    }

    fn note(&self, tree: &Tree) -> bool {
        if tree.name == "presence" && tree.attr("type") == Some("unavailable") {
            let device = tree.attr("from").unwrap_or_default().replace("@localhost", "");
            self.notes.open().went(&device, &self.account);
        }
        let Some(id) = tree.child("body").and_then(|body| read_id(&body.text)) else { return false };
        let archive_id = tree.child("stanza-id").and_then(|id| id.attr("id")).map(Into::into);
        let receipt = Receipt {
            account: self.account.as_str().into(),
            device: format!("{}/{}", self.account, self.resource).into(),
            stream: self.stream,
            archive_id,
            delayed: tree.children.iter().any(|child| child.name == "delay" && child.attr("from").is_some()),
        };
        self.notes.open().received(id, receipt);
        true
    }
}

/// Which message a body is of.
pub(super) fn read_id(body: &str) -> Option<Id> {
    let mut words = body.split(' ');
    Some(Id::new(words.next()?, words.next()?.parse().ok()?))
}
