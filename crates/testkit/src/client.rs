//! One client connection: the least of RFC 6120 that a story needs, in the open, under TLS or hand-written.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use crate::tls::{Secured, Socket, TlsOptions};
use crate::{Scram, Tree};

/// How long a client waits for what must come: generous, because the machine is shared.
const PATIENCE: Duration = Duration::from_secs(40);

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

/// A TCP connection to a listener on loopback.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    buffer: Vec<u8>,
    header_seen: bool,
}

impl Connection {
    /// Connects, says nothing.
    pub async fn open(address: SocketAddr) -> Result<Connection> {
        let tcp = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        tcp.set_nodelay(true)?;
        Ok(Connection { socket: Socket::Plain(tcp), buffer: Vec::new(), header_seen: false })
    }

    /// Connects from an address of one's own on loopback: failed logins slow down everybody who shares an address.
    pub async fn open_from(source: IpAddr, address: SocketAddr) -> Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source, 0))?;
        let tcp = socket.connect(address).await.with_context(|| format!("connecting to {address}"))?;
        tcp.set_nodelay(true)?;
        Ok(Connection { socket: Socket::Plain(tcp), buffer: Vec::new(), header_seen: false })
    }

    /// For another protocol on it.
    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }

    /// TLS from here on.
    pub async fn handshake(&mut self, options: &TlsOptions) -> Result<Secured> {
        ensure!(self.buffer.is_empty(), "the server sent more before TLS");
        self.header_seen = false;
        self.socket.secure(options).await
    }

    /// Opens a stream, and asks for TLS as RFC 6120 §5.4 says.
    pub async fn start_tls(&mut self, options: &TlsOptions) -> Result<Secured> {
        self.header(&options.domain).await?;
        let features = self.element("features").await?;
        ensure!(features.find(&["starttls", "required"]).is_some(), "no STARTTLS: {features}");
        self.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        self.element("proceed").await?;
        self.handshake(options).await
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

    /// `<auth/>`; `None` is no initial response. The answer is what the server says to it.
    pub async fn auth(&mut self, mechanism: &str, message: Option<&[u8]>) -> Result<Tree> {
        let start = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'");
        match message {
            None => self.write(&format!("{start}/>")).await?,
            Some(message) => self.write(&format!("{start}>{}</auth>", encoded(message))).await?,
        }
        self.sasl_answer().await
    }

    /// `<response/>`, and what the server says to it.
    pub async fn respond(&mut self, message: &[u8]) -> Result<Tree> {
        let text = encoded(message);
        self.write(&format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{text}</response>")).await?;
        self.sasl_answer().await
    }

    /// What the server says in a SASL exchange.
    pub async fn sasl_answer(&mut self) -> Result<Tree> {
        match self.next(PATIENCE).await? {
            Received::Element(tree, _) if tree.ns == "urn:ietf:params:xml:ns:xmpp-sasl" => Ok(tree),
            other => bail!("no answer to SASL: {other:?}"),
        }
    }

    /// A whole SCRAM exchange on an open stream; the server's signature is checked. Its last answer is returned.
    pub async fn scram(&mut self, scram: &Scram) -> Result<Tree> {
        let challenge = self.auth(&scram.mechanism(), Some(scram.first().as_bytes())).await?;
        if challenge.name != "challenge" {
            return Ok(challenge);
        }
        let (last, signature) = scram.last(&challenge.decoded()?)?;
        let answer = self.respond(last.as_bytes()).await?;
        if answer.name == "success" {
            ensure!(answer.decoded()? == format!("v={signature}"), "the server has not proved itself");
        }
        Ok(answer)
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
        let answer = self.auth("PLAIN", Some(format!("\0{user}\0{password}").as_bytes())).await?;
        ensure!(answer.name == "success", "no success: {answer}");
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
            match self.next(PATIENCE).await? {
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
            let mut chunk = vec![0; 16 * 1024];
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
        self.socket.cut();
    }

    /// A new stream header of the server may come.
    pub fn expect_header(&mut self) {
        self.header_seen = false;
    }

    /// Everything that comes until the server closes the socket, at most `within`.
    pub async fn to_the_end(&mut self, within: Duration) -> Result<Vec<Received>> {
        let mut all = Vec::new();
        loop {
            match self.next(within).await? {
                Received::Eof => return Ok(all),
                received => all.push(received),
            }
        }
    }

    /// Reads bytes of whatever kind until the server closes the socket.
    pub async fn read_away(&mut self, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        let mut chunk = vec![0; 16 * 1024];
        while timeout_at(until, self.socket.read(&mut chunk)).await.context("still open")?.unwrap_or(0) > 0 {}
        Ok(())
    }

    /// The condition of the stream error that ends the stream; the error, its end and the end of the socket must come.
    pub async fn stream_error(&mut self) -> Result<String> {
        let all = self.to_the_end(PATIENCE).await?;
        let [.., Received::Element(error, _), Received::StreamEnd] = &all[..] else {
            bail!("no error and end of the stream: {all:?}");
        };
        ensure!((error.name.as_str(), error.ns.as_str()) == ("error", STREAMS), "no stream error: {error}");
        let condition = error.children.first().context("no condition")?;
        ensure!(condition.ns == "urn:ietf:params:xml:ns:xmpp-streams", "{error}");
        Ok(condition.name.clone())
    }
}

const STREAMS: &str = "http://etherx.jabber.org/streams";

/// Base64; an empty message is `=` (RFC 6120 §6.4.2).
fn encoded(message: &[u8]) -> String {
    if message.is_empty() { "=".to_owned() } else { BASE64_STANDARD.encode(message) }
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
