//! Lists of texts that a script packs into one value (MessagePack, which every Redis has): a client reads one much faster than many.

use redis::{ErrorKind, RedisError};
use rmp::decode;

/// A name and its value.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// Takes one text from the front of `rest`.
fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(decode::read_str_len(rest).ok()?).ok()?;
    let (text, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(text)
}

/// The texts of a list, two by two, as `HGETALL` has them.
pub(crate) fn pairs(packed: &[u8]) -> Result<Vec<Pair<'_>>, RedisError> {
    let read = || {
        let mut rest = packed;
        let count = decode::read_array_len(&mut rest).ok()?;
        let pairs: Option<Vec<_>> =
            (0..count / 2).map(|_| Some((text(&mut rest)?, text(&mut rest)?))).collect();
        pairs.filter(|_| count.is_multiple_of(2) && rest.is_empty())
    };
    read().ok_or_else(|| RedisError::from((ErrorKind::Parse, "not a packed list of pairs")))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let (name, value) = (b"name".to_vec(), vec![b'x'; len]);
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
