//! A client's stream with XEP-0198, from its own side: counters, acknowledgements, resumption.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{Connection, Received, Tree};
use anyhow::{Result, bail};

use super::PATIENCE;

/// Whether this stream goes on where the last one was.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// `<resumed/>`: the server has handled so many stanzas of ours.
    Resumed(u64),
    /// A new session. The server may have told how far the old one was handled.
    New(Option<u64>),
}

/// What came.
#[derive(Debug)]
pub enum Came {
    /// A stanza; it is counted already.
    Stanza(Tree),
    /// The server asks what we have handled.
    Asked,
    /// The server has handled so many.
    Acked(u64),
    /// The socket or the stream is over.
    End,
}

/// What outlives a connection.
#[derive(Debug, Default, Clone)]
pub struct Kept {
    previous: Option<String>,
    /// How many stanzas came since `<enabled/>`.
    pub received: u64,
}

/// A stream with XEP-0198 on it.
#[derive(Debug)]
pub struct Stream {
    connection: Connection,
    pub kept: Kept,
}

impl Stream {
    /// Signs in, and resumes what `kept` says, if the server still has it.
    pub async fn open(
        address: SocketAddr,
        account: &str,
        resource: &str,
        mut kept: Kept,
    ) -> Result<(Stream, Begun)> {
        let mut connection = Connection::open(address).await?;
        connection.login("localhost", account, "secret").await?;
        let mut told = None;
        if let Some(previous) = &kept.previous {
            let h = kept.received;
            connection.write(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{previous}' h='{h}'/>")).await?;
            let Received::Element(answer, _) = connection.next(PATIENCE).await? else { bail!("no answer") };
            let h = answer.attr("h").and_then(|h| h.parse().ok());
            match (answer.name.as_str(), h) {
                ("resumed", Some(h)) => return Ok((Stream { connection, kept }, Begun::Resumed(h))),
                ("failed", _) => told = h,
                _ => bail!("neither resumed nor failed: {answer}"),
            }
        }
        connection.bind(resource).await?;
        connection.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await?;
        let enabled = connection.element("enabled").await?;
        kept = Kept { previous: enabled.attr("id").map(str::to_owned), received: 0 };
        Ok((Stream { connection, kept }, Begun::New(told)))
    }

    /// Writes XML to the socket.
    pub async fn write(&mut self, text: &str) -> Result<()> {
        self.connection.write(text).await
    }

    /// Says what has come.
    pub async fn acknowledge(&mut self) -> Result<()> {
        let h = self.kept.received;
        self.connection.write(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")).await
    }

    /// The next thing, or `None` if nothing comes within the time.
    pub async fn poll(&mut self, within: Duration) -> Option<Came> {
        let received = match self.connection.poll(within).await {
            Ok(None) => return None,
            Ok(Some(received)) => received,
            Err(_) => return Some(Came::End),
        };
        let Received::Element(tree, _) = received else { return Some(Came::End) };
        Some(match (tree.name.as_str(), tree.ns.as_str()) {
            ("r", "urn:xmpp:sm:3") => Came::Asked,
            ("a", "urn:xmpp:sm:3") => Came::Acked(tree.attr("h").and_then(|h| h.parse().ok()).unwrap_or(0)),
            ("message" | "presence" | "iq", _) => {
                self.kept.received += 1;
                Came::Stanza(tree)
            }
            _ => Came::End, // a stream error
        })
    }

    /// Cuts the socket without a word.
    pub fn cut(self) -> Kept {
        let Stream { connection, kept } = self;
        connection.cut();
        kept
    }
}
