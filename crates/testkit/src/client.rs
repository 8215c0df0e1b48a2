//! One client connection: the least of RFC 6120 that a story needs, in the open or hand-written.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::Tree;

/// What arrived on the stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// The server's stream header, as it was written.
    Header(String),
    /// A top-level element, and the bytes it came in.
    Element(Tree, String),
    /// `</stream:stream>`
    StreamEnd,
    /// The socket was closed.
    Eof,
}

/// A plain TCP connection to a listener on loopback that allows login without TLS.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
    header_seen: bool,
}

impl Connection {
    /// Connects, says nothing.
    pub async fn open(address: std::net::SocketAddr) -> Result<Connection> {
        let socket = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        socket.set_nodelay(true)?;
        Ok(Connection { socket, buffer: Vec::new(), header_seen: false })
    }

    /// Writes exactly this.
    pub async fn write(&mut self, text: &str) -> Result<()> {
        self.write_bytes(text.as_bytes()).await
    }

    /// Writes exactly these bytes, be they XML or not.
    pub async fn write_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(bytes).await?;
        Ok(())
    }

    /// Opens a stream, and again after SASL.
    pub async fn header(&mut self, domain: &str) -> Result<()> {
        self.header_seen = false;
        self.write(&format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}' version='1.0'>"
        ))
        .await
    }

    /// Opens the stream, signs in with PLAIN and opens it again; the features after login are the answer.
    pub async fn login(&mut self, domain: &str, user: &str, password: &str) -> Result<Tree> {
        self.header(domain).await?;
        self.element("features").await?;
        let secret = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        self.write(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
        ))
        .await?;
        let answer = self.next(Duration::from_secs(20)).await?;
        match answer {
            Received::Element(tree, _) if tree.name == "success" => {}
            other => bail!("no success: {other:?}"),
        }
        self.header(domain).await?;
        self.element("features").await
    }

    /// Binds a resource; the full JID is the answer.
    pub async fn bind(&mut self, resource: &str) -> Result<String> {
        self.write(&format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind></iq>"
        ))
        .await?;
        let iq = self.element("iq").await?;
        iq.find(&["bind", "jid"]).map(|jid| jid.text.clone()).with_context(|| format!("not bound: {iq}"))
    }

    /// The next element of that name; what comes before it is an error, but for the header.
    pub async fn element(&mut self, name: &str) -> Result<Tree> {
        loop {
            match self.next(Duration::from_secs(20)).await? {
                Received::Header(_) => {}
                Received::Element(tree, _) if tree.name == name => return Ok(tree),
                other => bail!("expected <{name}/>, got {other:?}"),
            }
        }
    }

    /// The next thing on the stream.
    pub async fn next(&mut self, within: Duration) -> Result<Received> {
        self.poll(within).await?.with_context(|| format!("nothing came within {within:?}"))
    }

    /// The next thing on the stream, or `None` if nothing comes within the time. Cancel-safe.
    pub async fn poll(&mut self, within: Duration) -> Result<Option<Received>> {
        let until = Instant::now() + within;
        loop {
            if let Some(received) = self.take()? {
                return Ok(Some(received));
            }
            let mut chunk = [0; 16 * 1024];
            match timeout_at(until, self.socket.read(&mut chunk)).await {
                Err(_) => return Ok(None),
                Ok(Ok(0)) => return Ok(Some(Received::Eof)),
                Ok(Ok(count)) => self.buffer.extend(chunk.iter().take(count)),
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Ok(Some(Received::Eof));
                }
                Ok(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// Takes one complete thing from the buffer.
    fn take(&mut self) -> Result<Option<Received>> {
        let text = match std::str::from_utf8(&self.buffer) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() => return Ok(None), // half a character
            Err(error) => bail!("the server sent invalid UTF-8: {error}"),
        };
        let start = text.len() - text.trim_start().len();
        let rest = text.get(start..).unwrap_or_default();
        let (received, length) = if rest.starts_with("</stream:stream") {
            let Some(end) = rest.find('>') else { return Ok(None) };
            (Received::StreamEnd, end + 1)
        } else if !self.header_seen && (rest.starts_with("<?xml") || rest.starts_with("<stream:stream")) {
            let from = rest.find("<stream:stream");
            let Some(end) = from.and_then(|from| rest.get(from..)?.find('>').map(|end| from + end)) else {
                return Ok(None);
            };
            self.header_seen = true;
            (Received::Header(rest.get(..=end).unwrap_or_default().to_owned()), end + 1)
        } else {
            let Some(length) = element_length(rest) else { return Ok(None) };
            let bytes = rest.get(..length).unwrap_or_default().to_owned();
            (
                Received::Element(
                    Tree::parse(&bytes, "jabber:client").with_context(|| bytes.clone())?,
                    bytes,
                ),
                length,
            )
        };
        self.buffer.drain(..start + length);
        Ok(Some(received))
    }

    /// Cuts the socket without a word.
    pub fn cut(self) {
        let _ = self.socket.set_zero_linger();
    }
}

/// The length of the first complete element; `None` if more must come. The server's own output is trusted to have no
/// comments, CDATA or `>` in attributes written otherwise than by quotes.
fn element_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0_usize);
    while let Some(open) = bytes.get(at..)?.iter().position(|byte| *byte == b'<') {
        let start = at + open;
        let (mut quote, mut end) = (None, start + 1);
        loop {
            match (*bytes.get(end)?, quote) {
                (byte @ (b'\'' | b'"'), None) => quote = Some(byte),
                (byte, Some(open)) if byte == open => quote = None,
                (b'>', None) => break,
                _ => {}
            }
            end += 1;
        }
        match (bytes.get(start + 1), bytes.get(end - 1)) {
            (Some(b'/'), _) => depth = depth.checked_sub(1)?,
            (_, Some(b'/')) => {}
            _ => depth += 1,
        }
        at = end + 1;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}
