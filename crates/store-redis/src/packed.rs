//! Lists of texts that a script packs into one value (MessagePack, which every Redis has): a client reads one much faster than many.

use redis::{ErrorKind, RedisError};

/// What is left to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of so many bytes, the highest first.
    fn size(&mut self, bytes: usize) -> Option<usize> {
        let number = self.take(bytes)?.iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        usize::try_from(number).ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn len(&mut self) -> Option<usize> {
        match self.byte()? {
            short @ 0x90..=0x9f => Some(usize::from(short & 0x0f)),
            0xdc => self.size(2),
            0xdd => self.size(4),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = match self.byte()? {
            short @ 0xa0..=0xbf => usize::from(short & 0x1f),
            0xd9 => self.size(1)?,
            0xda => self.size(2)?,
            0xdb => self.size(4)?,
            _ => return None,
        };
        self.take(len)
    }
}

/// The texts of a list, two by two, as `HGETALL` has them.
pub(crate) fn pairs(packed: &[u8]) -> Result<Vec<(&[u8], &[u8])>, RedisError> {
    let read = || {
        let mut rest = Rest(packed);
        let count = rest.len()?;
        let pairs: Option<Vec<_>> = (0..count / 2).map(|_| Some((rest.text()?, rest.text()?))).collect();
        pairs.filter(|_| count.is_multiple_of(2) && rest.0.is_empty())
    };
    read().ok_or_else(|| RedisError::from((ErrorKind::Parse, "not a packed list of pairs")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(len: usize) -> Vec<u8> {
        vec![b'x'; len]
    }

    /// As Redis 7 packs it.
    fn packed(text: &[u8]) -> Vec<u8> {
        let len = text.len();
        let mut out = match len {
            0..32 => vec![0xa0 | len as u8],
            32..256 => vec![0xd9, len as u8],
            256..65536 => vec![0xda, (len >> 8) as u8, len as u8],
            _ => vec![0xdb, 0, (len >> 16) as u8, (len >> 8) as u8, len as u8],
        };
        out.extend_from_slice(text);
        out
    }

    #[test]
    fn a_list_of_any_length_with_texts_of_any_length_is_read() {
        assert_eq!(pairs(b"\x90").unwrap(), []);
        assert_eq!(pairs(b"\x92\xa1a\xa1b").unwrap(), [(&b"a"[..], &b"b"[..])]);
        for len in [0, 31, 32, 255, 256, 65_535, 65_536] {
            let (name, value) = (b"name".to_vec(), text(len));
            let list = [vec![0x92], packed(&name), packed(&value)].concat();
            assert_eq!(pairs(&list).unwrap(), [(&name[..], &value[..])], "{len}");
        }
        for (count, head) in [(16, b"\xdc\x00\x10".to_vec()), (65_536, b"\xdd\x00\x01\x00\x00".to_vec())] {
            let list = [head, packed(b"").repeat(count)].concat();
            assert_eq!(pairs(&list).unwrap().len(), count / 2);
        }
    }

    #[test]
    fn what_is_no_such_list_is_refused() {
        let long = [&b"\x92\xa1a\xa1b"[..], b"\xa1c"].concat();
        for wrong in [
            &b""[..],
            b"\x91\xa1a",
            b"\x92\xa1a",
            b"\x92\xa1a\xa5b",
            b"\x92\xa1a\x05",
            b"\xdd\xff\xff\xff\xff",
            b"\x80",
            &long,
        ] {
            assert!(pairs(wrong).is_err(), "{wrong:?}");
        }
    }
}
