//! RFC 6120 Resource Binding (§7), and the session request of RFC 3921, which older clients still send.

use starling_jid::FullJid;
use starling_ports::ingress::BindError;
use starling_stanza::{Condition, StanzaError};
use starling_xml::{Element, Raw, escape_text, ns};

use crate::error::attribute;

/// The stream feature; the session request means nothing and may be left out.
pub(crate) const FEATURE: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                                  <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>";

/// A request to bind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Answered with it.
    pub(crate) id: String,
    /// The resource that the client wants.
    pub(crate) resource: Option<String>,
}

/// The request, if `raw` is one.
pub(crate) fn read(raw: &Raw) -> Option<Request> {
    let (head, id) = (&raw.head, raw.head.attribute("id")?);
    if !head.name.is(ns::CLIENT, "iq")
        || head.attribute("type") != Some("set")
        || !raw.payloads.has(ns::BIND, "bind")
    {
        return None;
    }
    let resource = starling_xml::child(&raw.children, ns::CLIENT, ns::BIND, "bind")
        .and_then(|bind| bind.child(ns::BIND, "resource").map(Element::text))
        .filter(|resource| !resource.is_empty());
    Some(Request { id: id.to_owned(), resource })
}

/// The id of a session request.
pub(crate) fn read_session(raw: &Raw) -> Option<&str> {
    let head = &raw.head;
    let asks = head.name.is(ns::CLIENT, "iq")
        && head.attribute("type") == Some("set")
        && raw.payloads.has(ns::SESSION, "session");
    head.attribute("id").filter(|_| asks)
}

/// The result that tells the full JID.
pub(crate) fn write_bound(out: &mut Vec<u8>, declared: bool, id: &str, jid: &FullJid) {
    open(out, declared, "result", id);
    out.extend_from_slice(b"><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>");
    escape_text(out, jid.as_str());
    out.extend_from_slice(b"</jid></bind></iq>");
}

/// A result, of a request of any kind.
pub(crate) fn write_result(out: &mut Vec<u8>, declared: bool, id: &str, payload: Option<&Element>) {
    open(out, declared, "result", id);
    let Some(payload) = payload else { return out.extend_from_slice(b"/>") };
    out.push(b'>');
    payload.write(out, ns::CLIENT);
    out.extend_from_slice(b"</iq>");
}

/// The answer that it cannot be.
pub(crate) fn write_error(out: &mut Vec<u8>, declared: bool, id: &str, error: &StanzaError) {
    open(out, declared, "error", id);
    out.push(b'>');
    error.to_element().write(out, ns::CLIENT);
    out.extend_from_slice(b"</iq>");
}

/// What a client hears when its resource could not be bound (RFC 6120 §7.6.2, §7.7.2).
pub(crate) fn refusal(error: BindError) -> StanzaError {
    match error {
        BindError::BadRequest => StanzaError::modify(Condition::BadRequest),
        BindError::ResourceConstraint | BindError::Unavailable => {
            StanzaError::wait(Condition::ResourceConstraint)
        }
        BindError::NotAllowed => StanzaError::cancel(Condition::NotAllowed),
    }
}

fn open(out: &mut Vec<u8>, declared: bool, kind: &str, id: &str) {
    out.extend_from_slice(b"<iq");
    if !declared {
        attribute(out, "xmlns", ns::CLIENT);
    }
    attribute(out, "type", kind);
    attribute(out, "id", id);
}
