//! What a server itself says in a stanza or around one: its id in an archive, when it came, that it is from an archive.

use starling_xml::{ns, write_attr};

use crate::Wire;

/// Its id in the archive of `by` (XEP-0359 §3).
pub fn stanza_id(out: &mut Vec<u8>, id: &[u8], by: &str) {
    write_attr(out, "<stanza-id xmlns='", ns::SID);
    out.extend_from_slice(b" id='");
    out.extend_from_slice(id);
    write_attr(out, "' by='", by);
    out.extend_from_slice(b"/>");
}

/// When it came, as XEP-0082 writes it, and who kept it back, if that is said (XEP-0203).
pub fn delay(out: &mut Vec<u8>, from: Option<&str>, stamp: &str) {
    write_attr(out, "<delay xmlns='", ns::DELAY);
    if let Some(from) = from {
        write_attr(out, " from='", from);
    }
    write_attr(out, " stamp='", stamp);
    out.extend_from_slice(b"/>");
}

/// A row of an archive (XEP-0313 §4.2), around XEP-0297: the stanza as it was received, in the bytes in which it was.
pub fn result(out: &mut Vec<u8>, queryid: Option<&str>, id: &[u8], stamp: &str, wire: &Wire) {
    write_attr(out, "<result xmlns='", ns::MAM);
    if let Some(queryid) = queryid {
        write_attr(out, " queryid='", queryid);
    }
    out.extend_from_slice(b" id='");
    out.extend_from_slice(id);
    write_attr(out, "'><forwarded xmlns='", ns::FORWARD);
    out.push(b'>');
    delay(out, None, stamp);
    wire.write(out, false, None, &[]);
    out.extend_from_slice(b"</forwarded></result>");
}
