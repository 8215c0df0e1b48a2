//! The PROXY protocol, version 2: for whom a trusted proxy speaks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How a header begins; no XMPP, TLS or HTTP does.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part.
const FIXED: usize = 16;
/// What a header may have behind its fixed part: addresses and a certificate's names, not a book.
const MAX_REST: usize = 4096;
/// How long the first bytes may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at a header that comes in parts, which is rare.
const AGAIN: Duration = Duration::from_millis(20);
/// The record about TLS (§2.2.5), and its flag for a client that came by it.
const SSL: u8 = 0x20;
const BY_SSL: u8 = 0x01;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proxied {
    /// The client; `None` where the proxy speaks for itself, to see whether we live.
    pub(crate) client: Option<IpAddr>,
    /// TLS of the client that ended at the proxy.
    pub(crate) is_tls: bool,
}

/// Takes a header off the front of a connection from a trusted proxy; `None` if there is none, and nothing is taken.
pub(crate) async fn take(tcp: &mut TcpStream) -> io::Result<Option<Proxied>> {
    timeout(WITHIN, read(tcp)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn read(tcp: &mut TcpStream) -> io::Result<Option<Proxied>> {
    let mut head = [0; FIXED];
    loop {
        let there = tcp.peek(&mut head).await?;
        let begun = head.get(..there).unwrap_or_default();
        let compared = there.min(SIGNATURE.len());
        if there == 0 || begun.get(..compared) != SIGNATURE.get(..compared) {
            return Ok(None);
        }
        if there == FIXED {
            break;
        }
        sleep(AGAIN).await; // bytes that were only looked at wake nobody
    }
    tcp.read_exact(&mut head).await?;
    let [.., version, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_REST {
        return Err(wrong("too long"));
    }
    let mut rest = vec![0; length];
    tcp.read_exact(&mut rest).await?;
    parse(version, family, &rest).map(Some)
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a PROXY header that cannot be: {what}"))
}

/// §2.2: version and command, family and transport, addresses, records.
fn parse(version: u8, family: u8, rest: &[u8]) -> io::Result<Proxied> {
    match version {
        0x20 => return Ok(Proxied { client: None, is_tls: false }), // LOCAL
        0x21 => {}
        _ => return Err(wrong("version or command")),
    }
    let (client, records) = match (family, rest) {
        (0x11, [a, b, c, d, rest @ ..]) => (IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)), rest.get(8..)),
        (0x21, rest) => {
            let address: [u8; 16] = *rest.first_chunk().ok_or(wrong("addresses"))?;
            (IpAddr::V6(Ipv6Addr::from(address)), rest.get(36..))
        }
        _ => return Err(wrong("not TCP over IP")),
    };
    let is_tls = is_tls(records.ok_or(wrong("addresses"))?)?;
    Ok(Proxied { client: Some(client.to_canonical()), is_tls })
}

/// Whether a record says that the client came by TLS.
fn is_tls(mut records: &[u8]) -> io::Result<bool> {
    let mut found = false;
    while let [kind, high, low, rest @ ..] = records {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, behind) = rest.split_at_checked(length).ok_or(wrong("records"))?;
        found |= *kind == SSL && value.first().is_some_and(|flags| flags & BY_SSL != 0);
        records = behind;
    }
    if records.is_empty() { Ok(found) } else { Err(wrong("records")) }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    const V4: &[u8] = &[192, 0, 2, 7, 127, 0, 0, 1, 0x30, 0x39, 0x14, 0x66];

    fn header(version: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [SIGNATURE.as_slice(), &[version, family], &length, rest].concat()
    }

    /// What is found before `bytes` and what is left behind it, if the bytes come in two parts.
    async fn taken(bytes: &[u8], at: usize) -> (io::Result<Option<Proxied>>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let write = async {
            client.write_all(&bytes[..at]).await.unwrap();
            tokio::task::yield_now().await;
            client.write_all(&bytes[at..]).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let (found, ()) = tokio::join!(take(&mut server), write);
        let mut left = Vec::new();
        if found.is_ok() {
            server.read_to_end(&mut left).await.unwrap();
        }
        (found, left)
    }

    #[tokio::test]
    async fn a_header_is_taken_and_what_follows_is_left() {
        let client = Some("192.0.2.7".parse().unwrap());
        let header = header(0x21, 0x11, V4);
        for at in [1, 12, 16, 20, header.len()] {
            let (found, left) = taken(&[&header, b"<stream".as_slice()].concat(), at).await;
            assert_eq!(found.unwrap(), Some(Proxied { client, is_tls: false }));
            assert_eq!(left, b"<stream");
        }
    }

    #[tokio::test]
    async fn where_there_is_none_nothing_is_taken() {
        for bytes in [b"<stream:stream to='a'>".as_slice(), b"\x16\x03\x01\x02\x00", b"\r\n\r\n<a"] {
            let (found, left) = taken(bytes, 2).await;
            assert_eq!((found.unwrap(), left.as_slice()), (None, bytes));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_ends_the_connection() {
        for bytes in [
            header(0x11, 0x11, V4),
            header(0x21, 0x12, V4),
            header(0x21, 0x11, &V4[..11]),
            header(0x21, 0x21, V4),
            header(0x21, 0x11, &[V4, &[SSL, 0, 9, 1]].concat()),
            header(0x21, 0x11, &vec![0; MAX_REST + 1]),
        ] {
            assert!(taken(&bytes, bytes.len()).await.0.is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_record_tells_of_tls() {
        let of = |records: &[u8]| parse(0x21, 0x11, &[V4, records].concat()).unwrap().is_tls;
        assert!(of(&[0x01, 0, 2, b'h', b'2', SSL, 0, 5, BY_SSL, 0, 0, 0, 0]));
        assert!(!of(&[SSL, 0, 5, 0, 0, 0, 0, 0]));
        let v6 = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [0; 20].as_slice()].concat();
        assert_eq!(parse(0x21, 0x21, &v6).unwrap().client, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(parse(0x20, 0, &[]).unwrap(), Proxied { client: None, is_tls: false });
    }
}
