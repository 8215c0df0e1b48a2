//! Escaping, so that a reparse gives the same text. Attributes are written in single quotes.

use crate::chars::{Place, is_special};

/// Writes `text` as the content of an element. What XML cannot hold becomes U+FFFD.
pub fn escape_text(out: &mut Vec<u8>, text: &str) {
    escape(out, text, |byte| match byte {
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'&' => Some(b"&amp;"),
        b'\r' => Some(b"&#13;"),
        _ => None,
    });
}

/// Writes `value` as it stands between single quotes. What XML cannot hold becomes U+FFFD.
pub fn escape_attr(out: &mut Vec<u8>, value: &str) {
    escape(out, value, |byte| match byte {
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'&' => Some(b"&amp;"),
        b'\'' => Some(b"&apos;"),
        b'\t' => Some(b"&#9;"),
        b'\n' => Some(b"&#10;"),
        b'\r' => Some(b"&#13;"),
        _ => None,
    });
}

/// Writes `start`, which ends with the quote that opens an attribute, then its `value` and the quote behind it.
pub fn write_attr(out: &mut Vec<u8>, start: &str, value: &str) {
    out.extend_from_slice(start.as_bytes());
    escape_attr(out, value);
    out.push(b'\'');
}

fn escape(out: &mut Vec<u8>, text: &str, replacement: impl Fn(u8) -> Option<&'static [u8]>) {
    let bytes = text.as_bytes();
    // Nearly every value is written as it is.
    if !bytes.iter().any(|byte| is_special(*byte, Place::Out)) {
        return out.extend_from_slice(bytes);
    }
    let mut copied = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let (new, length): (&[u8], usize) = match *byte {
            b'a'..=b'z' | b' ' => continue,
            0xEF if matches!(bytes.get(index..index + 3), Some([_, 0xBF, 0xBE | 0xBF])) => {
                (b"\xEF\xBF\xBD", 3)
            }
            byte => match replacement(byte) {
                Some(new) => (new, 1),
                None if byte < 0x20 && byte != b'\t' && byte != b'\n' => (b"\xEF\xBF\xBD", 1),
                None => continue,
            },
        };
        out.extend_from_slice(bytes.get(copied..index).unwrap_or_default());
        out.extend_from_slice(new);
        copied = index + length;
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
}
