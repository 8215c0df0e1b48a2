//! The `<body/>` of XEP-0124 §5: read from a request, written for an answer.

use bytes::Bytes;
use starling_stream::{StreamCondition, StreamError};
use starling_xml::{Event, Framing, Limits, Raw, Reader, escape_attr, ns};

/// The largest request id (§14.1).
const MAX_RID: u64 = (1 << 53) - 1;

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) rid: u64,
    /// The session, if the name can be one of ours.
    pub(super) sid: Option<u128>,
    /// Whether it names a session at all.
    pub(super) has_sid: bool,
    pub(super) ack: Option<u64>,
    pub(super) to: Option<String>,
    /// `ver`: the highest version that the client speaks.
    pub(super) version: Option<(u16, u16)>,
    pub(super) wait: Option<u64>,
    pub(super) hold: Option<u64>,
    /// Seconds (§10).
    pub(super) pause: Option<u64>,
    pub(super) is_terminate: bool,
    /// XEP-0206 §5.
    pub(super) is_restart: bool,
    /// The next of its sequence (§15.4).
    pub(super) key: Option<String>,
    /// The last of a new sequence (§15.5).
    pub(super) new_key: Option<String>,
    /// Elements, each able to stand on its own.
    pub(super) payloads: Vec<Vec<u8>>,
}

impl Request {
    /// Reads a body: XML within `limits`, and nothing that XMPP forbids.
    pub(super) fn read(body: &[u8], limits: Limits) -> Result<Request, StreamError> {
        let wrapper =
            Limits { depth: limits.depth.saturating_add(1), attributes: limits.attributes + 16, ..limits };
        let mut input = body;
        let event = Reader::new(Framing::Element, wrapper).next(&mut input)?;
        let Some(Event::Element(raw)) = event else {
            return Err(StreamError::new(StreamCondition::NotWellFormed, "not a whole <body/>"));
        };
        if !input.iter().all(u8::is_ascii_whitespace) {
            return Err(StreamError::new(StreamCondition::BadFormat, "something behind the <body/>"));
        }
        if raw.head.name.ns() != ns::HTTPBIND || raw.head.name.local() != "body" {
            return Err(StreamError::new(StreamCondition::BadFormat, "not a <body/>"));
        }
        let number = |name: &str| raw.head.attribute(name).and_then(|text| text.parse::<u64>().ok());
        let rid = number("rid").filter(|rid| *rid > 0 && *rid <= MAX_RID);
        let rid = rid.ok_or(StreamError::new(StreamCondition::BadFormat, "no rid"))?;
        let sid = raw.head.attribute("sid");
        Ok(Request {
            rid,
            sid: sid.and_then(parse_sid),
            has_sid: sid.is_some(),
            ack: number("ack"),
            version: raw.head.attribute("ver").and_then(|text| {
                let (major, minor) = text.split_once('.')?;
                Some((major.parse().ok()?, minor.parse().ok()?))
            }),
            to: raw.head.attribute("to").map(str::to_owned),
            wait: number("wait"),
            hold: number("hold"),
            pause: number("pause"),
            is_terminate: raw.head.attribute("type") == Some("terminate"),
            is_restart: matches!(raw.head.attribute_ns(ns::XBOSH, "restart"), Some("true" | "1")),
            key: raw.head.attribute("key").map(str::to_owned),
            new_key: raw.head.attribute("newkey").map(str::to_owned),
            payloads: payloads(&raw, limits)?,
        })
    }
}

fn payloads(raw: &Raw, limits: Limits) -> Result<Vec<Vec<u8>>, StreamError> {
    let alone = |element: Raw| {
        let mut text = Vec::new();
        element.write(&mut text);
        text
    };
    Ok(raw.elements(limits)?.into_iter().map(alone).collect())
}

fn parse_sid(text: &str) -> Option<u128> {
    let is_ours = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u128::from_str_radix(text, 16).ok().filter(|_| is_ours)
}

/// The session's name as it stands in a body that is not read yet, or cannot be.
pub(crate) fn sid_in(bytes: &[u8]) -> Option<u128> {
    let at = memchr::memmem::find(bytes, b"sid=")? + 5;
    parse_sid(std::str::from_utf8(bytes.get(at..at + 32)?).ok()?)
}

/// Writes an answer: the wrapper with `attributes`, around elements that stand on their own.
pub(super) fn write(attributes: &[(&str, &str)], payloads: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(payloads.len() + 128);
    out.extend_from_slice(b"<body xmlns='http://jabber.org/protocol/httpbind'");
    for (name, value) in attributes {
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"='");
        escape_attr(&mut out, value);
        out.push(b'\'');
    }
    match payloads {
        [] => out.extend_from_slice(b"/>"),
        _ => {
            out.push(b'>');
            out.extend_from_slice(payloads);
            out.extend_from_slice(b"</body>");
        }
    }
    out.into()
}

/// A terminal condition (§17.2).
pub(super) fn terminate(condition: &str) -> Bytes {
    write(&[("type", "terminate"), ("condition", condition)], &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Request, StreamError> {
        Request::read(text.as_bytes(), Limits::BEFORE_LOGIN)
    }

    #[test]
    fn payloads_stand_on_their_own() {
        let request = read(
            "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:p='urn:p' rid='7' sid='00ff00ff00ff00ff00ff00ff00ff00ff'>\
             <iq xmlns='jabber:client' id='1'><p:x/></iq> <presence xmlns='jabber:client'/></body>",
        )
        .unwrap();
        assert_eq!((request.rid, request.sid), (7, Some(0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff)));
        let texts: Vec<String> =
            request.payloads.iter().map(|text| String::from_utf8(text.clone()).unwrap()).collect();
        let first = "<iq xmlns='jabber:client' id='1'><p:x xmlns:p='urn:p'/></iq>";
        assert_eq!(texts, [first, "<presence xmlns='jabber:client'/>"]);
    }

    #[test]
    fn what_is_no_body_is_refused() {
        let wrapped = |inside: &str| {
            read(&format!("<body xmlns='http://jabber.org/protocol/httpbind' rid='1'>{inside}</body>"))
        };
        assert!(wrapped("").is_ok());
        for inside in ["text", "<!-- c -->", "<?pi x?>", "<a xmlns='a'>&b;</a>", "<a xmlns='a'>", "<a:b/>"] {
            assert!(wrapped(inside).is_err(), "{inside}");
        }
        let body = "<body xmlns='http://jabber.org/protocol/httpbind' rid='1'/>";
        for text in [
            format!("<!DOCTYPE body>{body}"),
            format!("{body}{body}"),
            body.replace("rid='1'", ""),
            body.replace("'1'", "'0'"),
            body.replace("'1'", "'9007199254740992'"),
            body.replace("httpbind", "other"),
            String::new(),
        ] {
            assert!(read(&text).is_err(), "{text}");
        }
        let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(Request::read(&utf16, Limits::BEFORE_LOGIN).is_err());
    }

    #[test]
    fn a_name_that_is_not_ours_names_nothing() {
        assert_eq!(sid_in(b"<body sid='00000000000000000000000000000001' "), Some(1));
        assert_eq!(sid_in(b"<body sid='0000000000000000000000000000001' "), None);
        assert_eq!(sid_in(b"<body sid='+0000000000000000000000000000001' "), None);
        assert_eq!(sid_in(b"<body sid='000"), None);
    }
}
