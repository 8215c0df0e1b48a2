//! Users and their devices: the people of a story.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{Connection, Preset, Received, Server, ServerOptions, Tree, matches};

/// How long a device waits for what it expects: generous, because the machine is shared.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long nothing must come.
const SILENCE: Duration = Duration::from_millis(300);

/// One server, and who lives on it in one story.
#[derive(Debug)]
pub struct World {
    server: Arc<tokio::sync::RwLock<Server>>,
    next: Arc<AtomicU64>,
    names: Mutex<Vec<(String, String)>>, // "alice" -> "alice3@localhost", "alice/phone" -> full JID
    closed: Mutex<Vec<String>>,          // devices that have closed their streams
}

/// An account made for one story.
#[derive(Debug)]
pub struct User<'a> {
    world: &'a World,
    name: String,
    account: String,
}

/// A signed-in client.
#[derive(Debug)]
pub struct Device<'a> {
    world: &'a World,
    jid: String,
    connection: tokio::sync::Mutex<Connection>,
    early: Mutex<VecDeque<Received>>, // came before the device's own presence, and was not looked at yet
    skip_pings: bool,
    closed: Vec<String>, // who had gone before it came: it may still be told so
}

impl World {
    /// A fresh server of this binary, of the processes that `STARLING_PRESET` names.
    pub async fn start(binary: &Path, options: &ServerOptions) -> Result<World> {
        let server = Server::start_preset(binary, options, Preset::of_environment()?).await?;
        // Names that no former run has given to accounts of stores that it shares.
        let first = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_micros() as u64;
        Ok(World {
            server: Arc::new(server.into()),
            next: Arc::new(first.into()),
            names: Mutex::default(),
            closed: Mutex::default(),
        })
    }

    /// The same server for another story: nobody is known there yet.
    pub fn again(&self) -> World {
        World {
            server: self.server.clone(),
            next: self.next.clone(),
            names: Mutex::default(),
            closed: Mutex::default(),
        }
    }

    /// The server.
    pub async fn server(&self) -> tokio::sync::RwLockReadGuard<'_, Server> {
        self.server.read().await
    }

    /// The server, to be stopped or replaced.
    pub async fn server_mut(&self) -> tokio::sync::RwLockWriteGuard<'_, Server> {
        self.server.write().await
    }

    /// A new account; `${name}` in a story is its bare JID.
    pub async fn user(&self, name: &str) -> User<'_> {
        let account = format!("{name}{}@localhost", self.next.fetch_add(1, Ordering::Relaxed));
        let request = json!({"op": "user-add", "jid": account, "password": "secret"});
        self.server.read().await.control(request).await.expect("the account is made");
        self.name(name, &account);
        User { world: self, name: name.to_owned(), account }
    }

    fn name(&self, key: &str, value: &str) {
        let mut names = self.names.lock().unwrap();
        names.retain(|(known, _)| known != key);
        names.push((key.to_owned(), value.to_owned()));
    }

    /// `${alice}` and `${alice/phone}` replaced by JIDs.
    pub fn fill(&self, text: &str) -> String {
        let names = self.names.lock().unwrap();
        names.iter().fold(text.to_owned(), |text, (key, value)| text.replace(&format!("${{{key}}}"), value))
    }
}

impl<'a> User<'a> {
    /// The bare JID.
    pub fn jid(&self) -> &str {
        &self.account
    }

    /// A device that has signed in and bound, and has said nothing else.
    pub async fn quiet_device(&self, resource: &str) -> Device<'a> {
        let address = self.world.server.read().await.plain();
        let mut connection = Connection::open(address).await.unwrap();
        let local = self.account.split('@').next().unwrap_or_default();
        connection.login("localhost", local, "secret").await.unwrap();
        let jid = connection.bind(resource).await.unwrap();
        self.world.name(&format!("{}/{resource}", self.name), &jid);
        Device {
            world: self.world,
            jid,
            connection: connection.into(),
            early: Mutex::default(),
            skip_pings: true,
            closed: self.world.closed.lock().unwrap().clone(),
        }
    }

    /// A device that is available: it has sent presence, has seen its own come back and whatever else was to be seen.
    pub async fn device(&self, resource: &str) -> Device<'a> {
        let device = self.quiet_device(resource).await;
        // What is there is shown behind its own presence, and who becomes available meanwhile is shown twice (RFC 6121 §4.2.2).
        device.send("<presence/><iq type='get' id='settled'><ping xmlns='urn:xmpp:ping'/></iq>").await;
        let (mut early, mut is_there, mut is_settled) = (VecDeque::new(), false, false);
        while !is_there || !is_settled {
            let (tree, bytes) = device.next().await;
            if tree.name == "presence" && tree.attr("from") == Some(&device.jid) {
                is_there = true;
            } else if tree.name == "iq" && tree.attr("id") == Some("settled") {
                is_settled = true;
            } else {
                early.push_back(Received::Element(tree, bytes)); // what waited may overtake it: RFC 6121 says no order
            }
        }
        *device.early.lock().unwrap() = early;
        device
    }
}

impl Device<'_> {
    /// The full JID.
    pub fn jid(&self) -> &str {
        &self.jid
    }

    /// Sends, with `${…}` filled in.
    pub async fn send(&self, xml: &str) {
        let xml = self.world.fill(xml);
        self.connection.lock().await.write(&xml).await.unwrap();
    }

    /// The next stanza, which must look like this (see `matches`).
    pub async fn expect(&self, pattern: &str) -> Tree {
        let filled = self.world.fill(pattern);
        let expected = Tree::parse(&filled, "jabber:client").expect("the pattern is XML");
        let found = self.stanza().await;
        assert!(matches(&expected, &found), "{} expected\n  {filled}\nbut got\n  {found}", self.jid);
        found
    }

    /// Those stanzas, in any order between them.
    pub async fn expect_all(&self, patterns: &[&str]) {
        let mut open: Vec<(String, Tree)> = Vec::new();
        for pattern in patterns {
            let filled = self.world.fill(pattern);
            let tree = Tree::parse(&filled, "jabber:client").expect("the pattern is XML");
            open.push((filled, tree));
        }
        while !open.is_empty() {
            let found = self.stanza().await;
            let at = open.iter().position(|(_, expected)| matches(expected, &found));
            let at =
                at.unwrap_or_else(|| panic!("{} got\n  {found}\nwhile it waited for\n  {open:?}", self.jid));
            open.remove(at);
        }
    }

    /// The next stanza. The server asks what was received when a second has passed, so on a slow machine it may do so anywhere.
    async fn stanza(&self) -> Tree {
        loop {
            let (tree, _) = self.next().await;
            if !is_question(&tree) {
                return tree;
            }
        }
    }

    /// The next stanza, with its bytes. The server's pings are answered and passed over.
    pub async fn next(&self) -> (Tree, String) {
        match self.poll(PATIENCE).await {
            Some(Received::Element(tree, bytes)) => (tree, bytes),
            other => panic!("{} waited for a stanza and got {other:?}", self.jid),
        }
    }

    /// What comes within the time, if anything.
    pub async fn poll(&self, within: Duration) -> Option<Received> {
        if let Some(early) = self.early.lock().unwrap().pop_front() {
            return Some(early);
        }
        let mut connection = self.connection.lock().await;
        loop {
            let received = connection.poll(within).await.unwrap();
            if let Some(Received::Element(tree, _)) = &received
                && tree.name == "presence"
                && tree.attr("type") == Some("unavailable")
                && self.closed.iter().any(|gone| tree.attr("from") == Some(gone))
            {
                continue;
            }
            if let Some(Received::Element(tree, _)) = &received
                && self.skip_pings
                && tree.name == "iq"
                && tree.children.iter().any(|child| child.ns == "urn:xmpp:ping")
                && tree.attr("type") == Some("get")
            {
                let (id, from) =
                    (tree.attr("id").unwrap_or_default(), tree.attr("from").unwrap_or("localhost"));
                connection.write(&format!("<iq type='result' id='{id}' to='{from}'/>")).await.unwrap();
                continue;
            }
            return received;
        }
    }

    /// Nothing comes: known by the answer to a ping that is sent now, behind which nothing else may have come.
    pub async fn expect_silence(&self) {
        self.send("<iq type='get' id='silence'><ping xmlns='urn:xmpp:ping'/></iq>").await;
        self.expect("<iq type='result' id='silence'/>").await;
        let mut received = self.poll(SILENCE).await;
        while matches!(&received, Some(Received::Element(tree, _)) if is_question(tree)) {
            received = self.poll(SILENCE).await;
        }
        assert!(received.is_none(), "{} expected silence and got {received:?}", self.jid);
    }

    /// Asks and returns the answer, whatever it is.
    pub async fn ask(&self, iq: &str) -> Tree {
        self.send(iq).await;
        let sent = Tree::parse(&self.world.fill(iq), "jabber:client").unwrap();
        let answer = self.stanza().await;
        assert_eq!(answer.name, "iq", "{} asked\n  {sent}\nand got\n  {answer}", self.jid);
        assert_eq!(answer.attr("id"), sent.attr("id"), "{answer}");
        answer
    }

    /// Asks, and passes over everything that comes before the answer.
    pub async fn ask_past(&self, iq: &str) {
        self.send(iq).await;
        let sent = Tree::parse(&self.world.fill(iq), "jabber:client").unwrap();
        loop {
            let (tree, _) = self.next().await;
            if tree.name == "iq" && tree.attr("id") == sent.attr("id") && tree.attr("type") == Some("result")
            {
                return;
            }
        }
    }

    /// What has come so far, known by the answer to a ping.
    pub async fn so_far(&self) -> Vec<Tree> {
        self.send("<iq type='get' id='so-far'><ping xmlns='urn:xmpp:ping'/></iq>").await;
        let mut came = Vec::new();
        loop {
            match self.next().await.0 {
                answer if answer.attr("id") == Some("so-far") => return came,
                tree => came.push(tree),
            }
        }
    }

    /// XEP-0280 on.
    pub async fn enable_carbons(&self) {
        let answer = self.ask("<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>").await;
        assert_eq!(answer.attr("type"), Some("result"), "{answer}");
    }

    /// Writes as it is.
    pub async fn write(&self, bytes: &[u8]) {
        self.connection.lock().await.write_bytes(bytes).await.unwrap();
    }

    /// Closes the stream, and waits until the server has closed it too and the session is over everywhere.
    pub async fn close(self) {
        self.write(b"</stream:stream>").await;
        loop {
            match self.poll(PATIENCE).await {
                Some(Received::StreamEnd | Received::Eof) => break,
                Some(_) => {}
                None => panic!("{}: the server did not close the stream", self.jid),
            }
        }
        let is_over = async {
            while self.is_listed().await {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(PATIENCE, is_over).await.expect("the session ends");
        self.world.closed.lock().unwrap().push(self.jid.clone());
    }

    /// Whether the server has the session, attached or waiting.
    async fn is_listed(&self) -> bool {
        let request = json!({"op": "session-list", "jid": self.jid.split('/').next()});
        let answer = self.world.server.read().await.control(request).await.expect("sessions are listed");
        let sessions = answer.get("sessions").and_then(Value::as_array).expect("sessions");
        sessions.iter().any(|session| session.get("jid").and_then(Value::as_str) == Some(&self.jid))
    }

    /// Cuts the socket without a word.
    pub fn cut(self) {
        self.connection.into_inner().cut();
    }
}

/// `<r/>` (XEP-0198 §4).
fn is_question(tree: &Tree) -> bool {
    (tree.name.as_str(), tree.ns.as_str()) == ("r", "urn:xmpp:sm:3")
}
