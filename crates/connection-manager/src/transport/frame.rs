//! Frames of WebSocket (RFC 6455 §5): read incrementally, written in one go, without a socket.

/// The longest payload of a control frame (§5.5).
const MAX_CONTROL: u64 = 125;
/// More parts than this make no stanza faster: whoever sends them wants the server busy.
const MAX_FRAGMENTS: u32 = 4096;
/// The longest head: two bytes, a length of eight, a mask of four.
const MAX_HEAD: usize = 14;

/// Status codes (§7.4.1).
pub(crate) mod code {
    pub(crate) const NORMAL: u16 = 1000;
    pub(crate) const GOING_AWAY: u16 = 1001;
    pub(crate) const PROTOCOL_ERROR: u16 = 1002;
    pub(crate) const UNSUPPORTED: u16 = 1003;
    pub(crate) const POLICY: u16 = 1008;
    pub(crate) const TOO_BIG: u16 = 1009;
}

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;

/// A whole message of the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Its parts joined; not yet known to be UTF-8.
    Text(Vec<u8>),
    /// To be answered with the same payload.
    Ping(Vec<u8>),
    Pong,
    /// With its status code if it had one.
    Close(Option<u16>),
}

/// Why a client cannot be understood any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("{0}")]
    Protocol(&'static str),
    #[error("a binary frame")]
    Binary,
    #[error("a message above the limit")]
    TooBig,
    #[error("too many fragments")]
    Fragments,
}

impl FrameError {
    /// What the close frame says.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Protocol(_) => code::PROTOCOL_ERROR,
            Self::Binary => code::UNSUPPORTED,
            Self::TooBig => code::TOO_BIG,
            Self::Fragments => code::POLICY,
        }
    }
}

/// Reads the frames of one client. Holds no buffer between messages.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    head: [u8; MAX_HEAD],
    head_length: usize,
    payload: Option<Payload>,
    message: Vec<u8>,
    fragments: u32, // parts of the message so far; 0 where none has begun
    control: Vec<u8>,
}

/// What is left of a frame whose head is read.
#[derive(Debug, Clone, Copy)]
struct Payload {
    opcode: u8,
    is_last: bool,
    key: [u8; 4],
    left: u64,
}

impl Decoder {
    /// Whether something has begun that is not whole.
    pub(crate) fn has_partial(&self) -> bool {
        self.head_length > 0 || self.payload.is_some() || self.fragments > 0
    }

    /// Takes bytes off the front of `input` until a message is whole. No message may have more than `limit` bytes.
    pub(crate) fn next(&mut self, input: &mut &[u8], limit: usize) -> Result<Option<Message>, FrameError> {
        loop {
            let payload = match self.payload {
                Some(payload) => payload,
                None => match self.read_head(input)? {
                    Some(payload) => self.begin(payload, limit)?,
                    None => return Ok(None),
                },
            };
            if !self.read_payload(payload, input) {
                return Ok(None);
            }
            self.payload = None;
            if let Some(message) = self.end(payload)? {
                return Ok(Some(message));
            }
        }
    }

    fn read_head(&mut self, input: &mut &[u8]) -> Result<Option<Payload>, FrameError> {
        while let Some((first, rest)) = input.split_first() {
            let Some(place) = self.head.get_mut(self.head_length) else { break };
            *place = *first;
            self.head_length += 1;
            *input = rest;
            if let Some(payload) = parse_head(self.head.get(..self.head_length).unwrap_or_default())? {
                self.head_length = 0;
                return Ok(Some(payload));
            }
        }
        Ok(None)
    }

    /// Checks a frame by its head, before any of its payload is kept.
    fn begin(&mut self, payload: Payload, limit: usize) -> Result<Payload, FrameError> {
        let is_data = payload.opcode < CLOSE;
        if is_data {
            match (payload.opcode, self.fragments) {
                (CONTINUATION, 0) => return Err(FrameError::Protocol("a continuation of nothing")),
                (CONTINUATION, _) | (TEXT | BINARY, 0) => {}
                _ => return Err(FrameError::Protocol("a new message inside another")),
            }
            if payload.opcode == BINARY {
                return Err(FrameError::Binary);
            }
            if (self.message.len() as u64).saturating_add(payload.left) > limit as u64 {
                return Err(FrameError::TooBig);
            }
            self.fragments += 1;
            if self.fragments > MAX_FRAGMENTS {
                return Err(FrameError::Fragments);
            }
        }
        self.payload = Some(payload);
        Ok(payload)
    }

    /// Whether the payload is all there.
    fn read_payload(&mut self, mut payload: Payload, input: &mut &[u8]) -> bool {
        let length = usize::try_from(payload.left).unwrap_or(usize::MAX).min(input.len());
        let (now, rest) = input.split_at_checked(length).unwrap_or((input, &[]));
        *input = rest;
        let target = if payload.opcode < CLOSE { &mut self.message } else { &mut self.control };
        let start = target.len();
        target.extend_from_slice(now);
        unmask(target.get_mut(start..).unwrap_or_default(), payload.key);
        payload.left -= length as u64;
        payload.key.rotate_left(length % 4);
        self.payload = Some(payload);
        payload.left == 0
    }

    /// A frame is whole; a message may be.
    fn end(&mut self, payload: Payload) -> Result<Option<Message>, FrameError> {
        match payload.opcode {
            PING => Ok(Some(Message::Ping(std::mem::take(&mut self.control)))),
            PONG => {
                self.control = Vec::new();
                Ok(Some(Message::Pong))
            }
            CLOSE => status(&std::mem::take(&mut self.control)).map(|status| Some(Message::Close(status))),
            _ if payload.is_last => {
                self.fragments = 0;
                Ok(Some(Message::Text(std::mem::take(&mut self.message))))
            }
            _ => Ok(None),
        }
    }
}

fn parse_head(head: &[u8]) -> Result<Option<Payload>, FrameError> {
    let [first, second, rest @ ..] = head else { return Ok(None) };
    let (opcode, is_last) = (first & 0x0f, first & FIN != 0);
    if first & 0x70 != 0 {
        return Err(FrameError::Protocol("a reserved bit, and no extension was agreed on"));
    }
    if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
        return Err(FrameError::Protocol("an unknown kind of frame"));
    }
    if second & 0x80 == 0 {
        return Err(FrameError::Protocol("a frame without a mask")); // §5.1
    }
    let (left, key) = match (second & 0x7f, rest) {
        (126, [a, b, key @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), key),
        (127, [a, b, c, d, e, f, g, h, key @ ..]) => {
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), key)
        }
        (126 | 127, _) => return Ok(None),
        (short, key) => (u64::from(short), key),
    };
    let least = match second & 0x7f {
        126 => 126,
        127 => 1 << 16,
        _ => 0,
    };
    if left < least || left >= 1 << 63 {
        return Err(FrameError::Protocol("a length that is not the shortest")); // §5.2
    }
    if opcode >= CLOSE && (!is_last || left > MAX_CONTROL) {
        return Err(FrameError::Protocol("a control frame that is long or in parts")); // §5.5
    }
    let Ok(key) = <[u8; 4]>::try_from(key) else { return Ok(None) };
    Ok(Some(Payload { opcode, is_last, key, left }))
}

/// §5.3
fn unmask(bytes: &mut [u8], key: [u8; 4]) {
    for part in bytes.chunks_mut(4) {
        for (byte, mask) in part.iter_mut().zip(key) {
            *byte ^= mask;
        }
    }
}

/// §7.4: the codes that may stand in a close frame.
fn status(payload: &[u8]) -> Result<Option<u16>, FrameError> {
    match payload {
        [] => Ok(None),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let is_known = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            if is_known && std::str::from_utf8(reason).is_ok() {
                Ok(Some(code))
            } else {
                Err(FrameError::Protocol("a status code that no client may send"))
            }
        }
        [_] => Err(FrameError::Protocol("half a status code")),
    }
}

/// Writes `payload` as one text frame; a server does not mask (§5.1).
pub(crate) fn write_text(out: &mut Vec<u8>, payload: &[u8]) {
    write(out, TEXT, payload);
}

/// Writes the answer to a ping.
pub(crate) fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write(out, PONG, payload);
}

/// Writes a close frame.
pub(crate) fn write_close(out: &mut Vec<u8>, code: u16) {
    write(out, CLOSE, &code.to_be_bytes());
}

fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(FIN | opcode);
    match payload.len() {
        short @ 0..126 => out.push(short as u8),
        middle @ 126..0x1_0000 => {
            out.push(126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests;
