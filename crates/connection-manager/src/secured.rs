//! The server's side of one TLS connection, that keeps no buffer between two reads but for what came of a record so far.

mod exporter;

use std::io;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError};
use rustls::{Error, ServerConfig};

use self::exporter::Secret;

/// What may come of a message before it is whole: RFC 8446 §4 allows 16 MiB, no client needs more than this.
const MAX_HELD: usize = 64 * 1024;
/// What a record may have beyond its plaintext (RFC 8446 §5.2), and how much plaintext it has at most.
const RECORD: (usize, usize) = (256, 16 * 1024);

/// TLS 1.2 or 1.3 with a client. Reads what came and says what is to be sent; the socket is another's.
pub(crate) struct Secured {
    connection: UnbufferedServerConnection,
    /// Came, and is not whole yet.
    held: Vec<u8>,
    /// While the handshake lasts.
    secret: Option<Arc<Secret>>,
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

/// What one read came to.
#[derive(Debug, Default)]
pub(crate) struct Came {
    /// The handshake is over; with it the exporter data (RFC 9266), where the version has it.
    pub(crate) secured: Option<Option<[u8; 32]>>,
    /// The client has said that nothing more will come.
    pub(crate) closed: bool,
}

impl Secured {
    pub(crate) fn new(config: &ServerConfig) -> Result<Secured, Error> {
        let secret = Arc::new(Secret::default());
        let mut config = config.clone();
        config.key_log = secret.clone();
        let connection = UnbufferedServerConnection::new(Arc::new(config))?;
        Ok(Secured { connection, held: Vec::new(), secret: Some(secret) })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Takes what came: plaintext is appended to `decrypted`, what TLS itself has to say to `unsent`, on an error the alert.
    pub(crate) fn read(
        &mut self,
        input: &mut [u8],
        decrypted: &mut Vec<u8>,
        unsent: &mut Vec<u8>,
    ) -> io::Result<Came> {
        let was_handshaking = self.is_handshaking();
        let mut held = std::mem::take(&mut self.held);
        let fresh = held.is_empty();
        let buffer = if fresh {
            input
        } else {
            held.extend_from_slice(input);
            held.as_mut_slice()
        };
        let (done, closed) = match advance(&mut self.connection, buffer, decrypted, unsent, &[]) {
            Ok(advanced) => advanced,
            Err(error) => {
                // What is left to say is the alert.
                let _ = advance(&mut self.connection, &mut [], decrypted, unsent, &[]);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        };
        let rest = buffer.get(done..).unwrap_or_default();
        if rest.len() > MAX_HELD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a TLS message that is too long"));
        }
        if fresh {
            self.held = rest.to_vec();
        } else if !rest.is_empty() {
            held.drain(..done);
            self.held = held;
        }
        let is_done = was_handshaking && !self.is_handshaking();
        let secret = self.secret.take_if(|_| is_done);
        Ok(Came { secured: secret.map(|secret| secret.exporter(&self.connection)), closed })
    }

    /// Appends `bytes` to `wire` as records. Before the handshake is over nobody could read them: then they are dropped.
    pub(crate) fn write(&mut self, bytes: &[u8], wire: &mut Vec<u8>) -> io::Result<()> {
        let advanced = advance(&mut self.connection, &mut self.held, &mut Vec::new(), wire, bytes);
        advanced.map(|_| ()).map_err(io::Error::other)
    }

    /// Appends to `wire` that nothing more will come from here.
    pub(crate) fn close(&mut self, wire: &mut Vec<u8>) {
        let status = self.connection.process_tls_records(&mut self.held);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
            let _ = grow(wire, RECORD.0, |room| traffic.queue_close_notify(room));
        }
    }
}

/// Goes on as far as `incoming` allows, and writes `plain` when it can. Returns how much of `incoming` is done with, and whether the client
/// has closed its side.
fn advance(
    connection: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    decrypted: &mut Vec<u8>,
    wire: &mut Vec<u8>,
    plain: &[u8],
) -> Result<(usize, bool), Error> {
    let (mut done, mut closed) = (0, false);
    loop {
        let status = connection.process_tls_records(incoming.get_mut(done..).unwrap_or_default());
        let mut discard = status.discard;
        let mut goes_on = true;
        match status.state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    decrypted.extend_from_slice(record.payload);
                    discard += record.discard;
                }
            }
            ConnectionState::EncodeTlsData(mut handshake) => {
                grow(wire, 0, |room| handshake.encode(room)).map_err(refused)?;
            }
            ConnectionState::TransmitTlsData(sent) => sent.done(),
            ConnectionState::PeerClosed => closed = true,
            ConnectionState::WriteTraffic(mut traffic) => {
                if !plain.is_empty() {
                    let records = plain.len().div_ceil(RECORD.1);
                    let room = plain.len() + records * RECORD.0;
                    grow(wire, room, |room| traffic.encrypt(plain, room)).map_err(refused)?;
                }
                goes_on = false;
            }
            // More is needed; or all is over; or it is of another version of this library.
            _ => goes_on = false,
        }
        done += discard;
        if !goes_on {
            return Ok((done, closed));
        }
    }
}

fn refused(error: impl std::error::Error) -> Error {
    Error::General(error.to_string())
}

/// How much room would do.
trait Needs {
    fn needs(&self) -> Option<usize>;
}

impl Needs for EncodeError {
    fn needs(&self) -> Option<usize> {
        match self {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            EncodeError::AlreadyEncoded => None,
        }
    }
}

impl Needs for EncryptError {
    fn needs(&self) -> Option<usize> {
        match self {
            EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            EncryptError::EncryptExhausted => None,
        }
    }
}

/// Appends to `out` what `write` writes: into `room` bytes, or as many as it turns out to need.
fn grow<E: Needs>(
    out: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), E> {
    let start = out.len();
    loop {
        out.resize(start + room, 0);
        match write(out.get_mut(start..).unwrap_or_default()) {
            Ok(length) => {
                out.truncate(start + length);
                return Ok(());
            }
            Err(error) => match error.needs().filter(|needed| *needed > room) {
                Some(needed) => room = needed,
                None => {
                    out.truncate(start);
                    return Err(error);
                }
            },
        }
    }
}

#[cfg(test)]
mod tests;
