//! A WebSocket client of its own (RFC 6455, RFC 7395), which can also do what a client must not.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::tls::Socket;
use crate::{Connection, Tree};

const TEXT: u8 = 1;
const FIN: u8 = 0x80;
const MASK: [u8; 4] = [0x5a, 0x11, 0xc3, 0x0f];
const PATIENCE: Duration = Duration::from_secs(20);

/// What came from the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// One element, and its bytes.
    Element(Tree, String),
    /// The answer to a ping.
    Pong(Vec<u8>),
    /// With its status code.
    Close(u16),
    /// The socket was closed.
    Eof,
}

/// A connection to `/ws`.
#[derive(Debug)]
pub struct WebSocket {
    socket: Socket,
    buffer: Vec<u8>,
}

impl WebSocket {
    /// Connects and shakes hands.
    pub async fn open(address: SocketAddr) -> Result<WebSocket> {
        WebSocket::upgrade(Connection::open(address).await?, "").await
    }

    /// Shakes hands on a connection, be it under TLS or not. `headers` are more lines of the request, each with its end.
    pub async fn upgrade(connection: Connection, headers: &str) -> Result<WebSocket> {
        let mut socket = connection.into_socket();
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n{headers}\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let read = timeout_at(Instant::now() + PATIENCE, socket.read(&mut byte));
            ensure!(read.await.context("nothing came")?? == 1, "no answer to the handshake");
            head.extend(byte);
        }
        let head = String::from_utf8(head)?.to_ascii_lowercase();
        ensure!(head.starts_with("http/1.1 101 "), "{head}");
        ensure!(head.contains("\r\nsec-websocket-protocol: xmpp\r\n"), "{head}");
        ensure!(head.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
        Ok(WebSocket { socket, buffer: Vec::new() })
    }

    /// Writes exactly these bytes, be they a frame or not.
    pub async fn write_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.socket.write_all(bytes).await?)
    }

    /// One text frame.
    pub async fn send(&mut self, xml: &str) -> Result<()> {
        self.write_bytes(&WebSocket::frame(FIN | TEXT, xml.as_bytes())).await
    }

    /// A masked frame: `first` is its first byte.
    pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..=125 => bytes.push(0x80 | short as u8),
            middle @ 126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend((middle as u16).to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// Opens a stream; the features are the answer.
    pub async fn header(&mut self, domain: &str) -> Result<Tree> {
        self.send(&format!(
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='{domain}' version='1.0'/>"
        ))
        .await?;
        let open = self.element("open").await?;
        ensure!(
            open.ns == "urn:ietf:params:xml:ns:xmpp-framing" && open.attr("from") == Some(domain),
            "{open}"
        );
        self.element("features").await
    }

    /// Opens the stream, signs in with PLAIN and opens it again.
    pub async fn login(&mut self, domain: &str, user: &str, password: &str) -> Result<Tree> {
        self.header(domain).await?;
        let secret = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        self.send(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
        ))
        .await?;
        self.element("success").await?;
        self.header(domain).await
    }

    /// Binds a resource; the full JID is the answer.
    pub async fn bind(&mut self, resource: &str) -> Result<String> {
        self.send(&format!(
            "<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind></iq>"
        ))
        .await?;
        let iq = self.element("iq").await?;
        iq.find(&["bind", "jid"]).map(|jid| jid.text.clone()).with_context(|| format!("not bound: {iq}"))
    }

    /// The next element, which must have that name.
    pub async fn element(&mut self, name: &str) -> Result<Tree> {
        match self.next().await? {
            Frame::Element(tree, _) if tree.name == name => Ok(tree),
            other => bail!("expected <{name}/>, got {other:?}"),
        }
    }

    /// Passes over everything up to the close frame: the elements before it, and its status code.
    pub async fn ended(&mut self) -> Result<(Vec<Tree>, u16)> {
        let mut elements = Vec::new();
        loop {
            match self.next().await? {
                Frame::Element(tree, _) => elements.push(tree),
                Frame::Pong(_) => {}
                Frame::Close(code) => return Ok((elements, code)),
                Frame::Eof => bail!("no close frame; before it came {elements:?}"),
            }
        }
    }

    /// The next frame.
    pub async fn next(&mut self) -> Result<Frame> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(frame) = self.take()? {
                return Ok(frame);
            }
            let mut chunk = vec![0; 16 * 1024];
            match timeout_at(until, self.socket.read(&mut chunk)).await.context("nothing came")? {
                Ok(0) => return Ok(Frame::Eof),
                Ok(count) => self.buffer.extend(chunk.iter().take(count)),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(Frame::Eof),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self) -> Result<Option<Frame>> {
        let [first, second, rest @ ..] = self.buffer.as_slice() else { return Ok(None) };
        ensure!(second & 0x80 == 0, "a server must not mask");
        let (head, length) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) as usize)
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (2, usize::from(short)),
        };
        let used = head + length;
        let Some(payload) = self.buffer.get(head..used) else { return Ok(None) };
        let frame = match first & 0x0f {
            TEXT => {
                ensure!(first & FIN != 0, "in parts, which nobody asked for");
                let text = String::from_utf8(payload.to_vec())?;
                Frame::Element(Tree::parse_alone(&text).with_context(|| text.clone())?, text)
            }
            8 => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                Frame::Close(code.context("a close frame without a code")?)
            }
            10 => Frame::Pong(payload.to_vec()),
            other => bail!("a frame of kind {other}"),
        };
        self.buffer.drain(..used);
        Ok(Some(frame))
    }

    /// Writes exactly these bytes and closes TLS, all in one piece.
    pub async fn close_behind(self, bytes: &[u8]) -> Result<()> {
        Ok(self.socket.close_behind(bytes).await?)
    }

    /// Cuts the socket without a word.
    pub fn cut(self) {
        self.socket.cut();
    }
}

/// Sends `request` as it is and reads until the server closes: the whole answer as text.
pub async fn http(address: SocketAddr, request: &str) -> Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    match timeout_at(Instant::now() + PATIENCE, socket.read_to_end(&mut answer))
        .await
        .context("not closed")?
    {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error.into()),
        _ => Ok(String::from_utf8(answer)?),
    }
}
