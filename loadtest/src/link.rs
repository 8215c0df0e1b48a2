//! How bytes travel: TCP, TLS on it, or messages of a WebSocket (RFC 7395).

use crate::scan::{self, Event, Scanner};
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// What one WebSocket buffers: the library's 128 KiB would be most of what a client of the load takes.
const BUFFER: usize = 4 * 1024;
/// What these stand for outside a stream that declares it once for all (RFC 7395 §3.3).
const STANZAS: [&[u8]; 3] = [b"message", b"presence", b"iq"];

/// TCP or TLS.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A connection.
pub(crate) enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Framed(Box<WebSocketStream<Box<dyn Bytes>>>),
    Gone,
}

/// Connects, from an address of this machine if one is given.
pub(crate) async fn connect(to: SocketAddr, from: Option<IpAddr>) -> Result<TcpStream> {
    let Some(from) = from else { return Ok(TcpStream::connect(to).await?) };
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from, 0)).with_context(|| format!("from {from}"))?;
    Ok(socket.connect(to).await?)
}

impl Link {
    /// Goes on in TLS.
    pub(crate) async fn encrypt(&mut self, connector: &TlsConnector, domain: &str) -> Result<()> {
        let Self::Plain(socket) = std::mem::replace(self, Self::Gone) else { bail!("TLS twice") };
        let name = rustls::pki_types::ServerName::try_from(domain.to_owned())?;
        *self = Self::Tls(Box::new(connector.connect(name, socket).await?));
        Ok(())
    }

    /// Goes on as a WebSocket (RFC 7395 §3.1).
    pub(crate) async fn upgrade(&mut self, host: &str, path: &str) -> Result<()> {
        let (scheme, bytes): (_, Box<dyn Bytes>) = match std::mem::replace(self, Self::Gone) {
            Self::Plain(socket) => ("ws", Box::new(socket)),
            Self::Tls(stream) => ("wss", stream),
            Self::Framed(_) | Self::Gone => bail!("a WebSocket twice"),
        };
        let mut request = format!("{scheme}://{host}{path}").into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("xmpp"));
        let config = WebSocketConfig::default().read_buffer_size(BUFFER).write_buffer_size(BUFFER);
        let upgraded = client_async_with_config(request, bytes, Some(config)).await;
        let (stream, answer) = upgraded.with_context(|| format!("no WebSocket at {path}"))?;
        let protocol = answer.headers().get("Sec-WebSocket-Protocol").map(HeaderValue::as_bytes);
        ensure!(protocol == Some(b"xmpp"), "the WebSocket at {path} does not speak xmpp");
        *self = Self::Framed(Box::new(stream));
        Ok(())
    }

    /// Whether each element is a message of its own.
    pub(crate) fn is_framed(&self) -> bool {
        matches!(self, Self::Framed(_))
    }

    /// Reads once, whatever is there; 0 is the end. Cancel-safe: bytes read are in `space`.
    pub(crate) async fn fill(&mut self, space: &mut Vec<u8>) -> Result<usize> {
        match self {
            Self::Plain(socket) => Ok(socket.read_buf(space).await?),
            Self::Tls(stream) => Ok(stream.read_buf(space).await?),
            Self::Framed(stream) => loop {
                match stream.next().await.transpose()? {
                    Some(Message::Text(text)) => {
                        space.extend_from_slice(text.as_bytes());
                        return Ok(text.len());
                    }
                    Some(Message::Ping(_) | Message::Pong(_)) => {} // the library answers
                    Some(Message::Binary(_)) => bail!("a binary message (RFC 7395 §3.2)"),
                    Some(Message::Close(_) | Message::Frame(_)) | None => return Ok(0),
                }
            },
            Self::Gone => Ok(0),
        }
    }

    /// Writes elements and flushes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes).await?,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await?;
            }
            Self::Framed(stream) => {
                for message in messages(bytes)? {
                    stream.feed(Message::text(message)).await?;
                }
                stream.flush().await?;
            }
            Self::Gone => bail!("not connected"),
        }
        Ok(())
    }
}

/// Each element as a message, with its namespace.
fn messages(bytes: &[u8]) -> Result<Vec<String>> {
    let (mut scanner, mut all) = (Scanner::framed(), Vec::new());
    scanner.space().extend_from_slice(bytes);
    while let Some(event) = scanner.next() {
        let Event::Stanza(element) = event else { bail!("no element") };
        let mut text = String::from_utf8(element.to_vec())?;
        let name = scan::name(element);
        if STANZAS.contains(&name) && scan::attribute(element, "xmlns").is_none() {
            text.insert_str(1 + name.len(), " xmlns='jabber:client'");
        }
        all.push(text);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_is_a_message_that_declares_its_namespace() {
        let batch =
            b"<presence/><iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq><r xmlns='urn:xmpp:sm:3'/>";
        assert_eq!(
            messages(batch).unwrap(),
            [
                "<presence xmlns='jabber:client'/>",
                "<iq xmlns='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
                "<r xmlns='urn:xmpp:sm:3'/>",
            ]
        );
    }

    #[tokio::test]
    async fn a_client_comes_from_the_address_it_is_given() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let from = "127.0.0.77".parse().unwrap();
        let (connected, accepted) =
            tokio::join!(connect(listener.local_addr().unwrap(), Some(from)), listener.accept());
        assert!(connected.is_ok());
        assert_eq!(accepted.unwrap().1.ip(), from);
    }
}
