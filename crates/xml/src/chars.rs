//! Characters, references and names, as XML 1.0 allows them.

use std::borrow::Cow;

use crate::XmlError;
use crate::writer::escape_text;

const BAD_CHARACTER: XmlError = XmlError::NotWellFormed("character");

/// XML 1.0 §2.2, production 2.
pub(crate) fn is_char(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Where a byte cannot just be copied.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// From character data.
    Text = 1,
    /// From the value of an attribute.
    Value = 2,
    /// To either.
    Out = 4,
}

/// Controls, markup, and the first byte of U+FFFE and U+FFFF.
const fn special(byte: u8) -> u8 {
    let is_control = byte < 0x20;
    let text =
        is_control && byte != b'\t' && byte != b'\n' || matches!(byte, b'&' | b'<' | b'>' | b']' | 0xef);
    let value = is_control || matches!(byte, b'&' | b'<' | 0xef);
    let out = is_control || matches!(byte, b'&' | b'<' | b'>' | b'\'' | 0xef);
    (text as u8 * Place::Text as u8) | (value as u8 * Place::Value as u8) | (out as u8 * Place::Out as u8)
}

#[expect(clippy::indexing_slicing, reason = "there is an entry for each byte")]
pub(crate) fn is_special(byte: u8, place: Place) -> bool {
    SPECIAL[usize::from(byte)] & place as u8 != 0
}

/// Looked up, as this is asked of every byte.
#[expect(clippy::indexing_slicing, reason = "it is done by the compiler, which would notice")]
static SPECIAL: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = special(byte as u8);
        byte += 1;
    }
    table
};

/// Writes character data in its canonical form. `references` are read in text and not in CDATA sections.
pub(crate) fn copy_text(out: &mut Vec<u8>, text: &str, references: bool) -> Result<(), XmlError> {
    let bytes = text.as_bytes();
    let (mut at, mut copied) = (0, 0);
    while let Some(found) =
        bytes.get(at..).and_then(|rest| rest.iter().position(|byte| is_special(*byte, Place::Text)))
    {
        at += found;
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        let (replaced, length): (Cow<'_, [u8]>, usize) = match rest.first() {
            Some(b'\r') if rest.get(1) == Some(&b'\n') => (Cow::Borrowed(b""), 1),
            Some(b'\r') => (Cow::Borrowed(b"\n"), 1),
            Some(b'>') => (Cow::Borrowed(b"&gt;"), 1),
            Some(b'<') => (Cow::Borrowed(b"&lt;"), 1), // only in CDATA: in text it is markup
            Some(b']') if references && rest.starts_with(b"]]>") => {
                return Err(XmlError::NotWellFormed("]]> in text"));
            }
            Some(b'&') if references => {
                let (character, length) = reference(text.get(at..).unwrap_or_default())?;
                (Cow::Owned(escaped(character)), length)
            }
            Some(b'&') => (Cow::Borrowed(b"&amp;"), 1),
            Some(0xef) if rest.starts_with(b"\xef\xbf\xbe") || rest.starts_with(b"\xef\xbf\xbf") => {
                return Err(BAD_CHARACTER);
            }
            Some(b']' | 0xef) => {
                at += 1;
                continue;
            }
            _ => return Err(BAD_CHARACTER),
        };
        out.extend_from_slice(bytes.get(copied..at).unwrap_or_default());
        out.extend_from_slice(&replaced);
        at += length;
        copied = at;
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    Ok(())
}

/// The value of an attribute as text: references resolved, white space normalised (XML 1.0 §3.3.3).
pub(crate) fn attribute_value(raw: &str) -> Result<Cow<'_, str>, XmlError> {
    if !raw.bytes().any(|byte| is_special(byte, Place::Value)) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(character) = rest.chars().next() {
        let mut length = character.len_utf8();
        match character {
            '<' => return Err(XmlError::NotWellFormed("< in an attribute value")),
            '&' => {
                let (resolved, taken) = reference(rest)?;
                value.push(resolved);
                length = taken;
            }
            '\r' if rest.as_bytes().get(1) == Some(&b'\n') => {} // the line feed becomes the space
            '\t' | '\n' | '\r' => value.push(' '),
            _ if is_char(character) => value.push(character),
            _ => return Err(BAD_CHARACTER),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(Cow::Owned(value))
}

/// The reference at the beginning of `text`: its character, and its length. XMPP knows the five predefined entities
/// and character references (RFC 6120 §11.1).
fn reference(text: &str) -> Result<(char, usize), XmlError> {
    let not_closed = XmlError::NotWellFormed("reference");
    let end = text.bytes().take(16).position(|byte| byte == b';').ok_or(not_closed)?;
    let name = text.get(1..end).ok_or(not_closed)?;
    let character = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => match name.strip_prefix('#') {
            None if is_ncname(name) => return Err(XmlError::Restricted("entity")),
            None => return Err(not_closed),
            Some(number) => numeric(number)
                .filter(|character| is_char(*character))
                .ok_or(XmlError::NotWellFormed("character reference"))?,
        },
    };
    Ok((character, end + 1))
}

fn numeric(number: &str) -> Option<char> {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    let all_digits = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    all_digits.then(|| u32::from_str_radix(digits, radix).ok()).flatten().and_then(char::from_u32)
}

fn escaped(character: char) -> Vec<u8> {
    let mut out = Vec::with_capacity(6);
    escape_text(&mut out, character.encode_utf8(&mut [0; 4]));
    out
}

/// A name without a colon (Namespaces in XML 1.0, production 4).
pub(crate) fn is_ncname(name: &str) -> bool {
    let bytes = name.as_bytes();
    let Some(first) = bytes.first() else { return false };
    let ascii = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (first.is_ascii_alphabetic() || *first == b'_') && bytes.iter().all(ascii) {
        return true;
    }
    let mut characters = name.chars();
    characters.next().is_some_and(is_name_start) && characters.all(is_name_char)
}

/// XML 1.0 §2.3, production 4, without the colon, and without U+FDF0 to U+FFFD: parsers disagree about those (U+FEFF
/// is one), and no protocol uses them in a name.
fn is_name_start(character: char) -> bool {
    matches!(character, 'A'..='Z' | '_' | 'a'..='z'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}'
        | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}'
        | '\u{f900}'..='\u{fdcf}' | '\u{10000}'..='\u{effff}')
}

/// XML 1.0 §2.3, production 4a, without the colon.
fn is_name_char(character: char) -> bool {
    is_name_start(character)
        || matches!(character, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// XML 1.0 §2.3, production 3.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
