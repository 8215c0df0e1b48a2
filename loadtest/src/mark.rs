//! What the body of each message says: which run and flow it belongs to, its number there, and when it was due.

/// The mark of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Random for each run: what a former one left behind is told apart.
    pub(crate) run: u32,
    /// One sender and one receiver.
    pub(crate) flow: u32,
    /// Counted from 0 within the flow.
    pub(crate) number: u64,
    /// Microseconds since the run began.
    pub(crate) at: u64,
}

impl Mark {
    /// Writes it, filled up to `bytes`.
    pub(crate) fn write(&self, out: &mut String, bytes: usize) {
        let start = out.len();
        let Self { run, flow, number, at } = self;
        out.push_str(&format!("{run:x} {flow} {number} {at} "));
        out.extend(std::iter::repeat_n('x', bytes.saturating_sub(out.len() - start)));
    }

    /// Reads it from a body.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let mut words = body.split(|byte| *byte == b' ');
        let run = u32::from_str_radix(std::str::from_utf8(words.next()?).ok()?, 16).ok()?;
        let flow = u32::try_from(number(words.next()?)?).ok()?;
        Some(Self { run, flow, number: number(words.next()?)?, at: number(words.next()?)? })
    }
}

/// Digits.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_fills_the_body() {
        let mark = Mark { run: 0xbeef, flow: 7, number: 12, at: 345_678 };
        let mut body = String::new();
        mark.write(&mut body, 64);
        assert_eq!(body.len(), 64);
        assert_eq!(Mark::read(body.as_bytes()), Some(mark));
        assert_eq!(Mark::read(b"hello there, friend"), None);
    }
}
