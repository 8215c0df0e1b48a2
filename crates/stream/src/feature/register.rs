//! XEP-0077 In-Band Registration, before login.

use starling_ports::ingress::RegisterError;
use starling_stanza::{Condition, StanzaError};
use starling_xml::{Element, Raw, ns};

/// The stream feature.
pub(crate) const FEATURE: &str = "<register xmlns='http://jabber.org/features/iq-register'/>";

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// To know which fields there are (§3.1.1).
    Fields,
    /// An account.
    Register {
        /// As the client wrote it; empty where it is missing.
        username: String,
        /// As the client wrote it; empty where it is missing.
        password: String,
    },
}

/// The request and its id, if `raw` is one.
pub(crate) fn read(raw: &Raw) -> Option<(&str, Request)> {
    let (head, id) = (&raw.head, raw.head.attribute("id")?);
    if !head.name.is(ns::CLIENT, "iq") || !raw.payloads.has(ns::REGISTER, "query") {
        return None;
    }
    match head.attribute("type")? {
        "get" => Some((id, Request::Fields)),
        "set" => {
            let query = starling_xml::child(&raw.children, ns::CLIENT, ns::REGISTER, "query")?;
            let field = |name| query.child(ns::REGISTER, name).map(Element::text).unwrap_or_default();
            Some((id, Request::Register { username: field("username"), password: field("password") }))
        }
        _ => None,
    }
}

/// The fields of §3.1.1.
pub(crate) fn fields() -> Element {
    let text = "Choose a user name and a password.";
    Element::new(ns::REGISTER, "query")
        .with_child(Element::new(ns::REGISTER, "instructions").with_text(text))
        .with_child(Element::new(ns::REGISTER, "username"))
        .with_child(Element::new(ns::REGISTER, "password"))
}

/// What a client hears when it got no account (§3.1.1, §4).
pub(crate) fn refusal(error: RegisterError) -> StanzaError {
    match error {
        RegisterError::Conflict => StanzaError::cancel(Condition::Conflict),
        RegisterError::NotAcceptable => StanzaError::modify(Condition::NotAcceptable),
        RegisterError::NotAllowed => StanzaError::cancel(Condition::NotAllowed),
        RegisterError::ResourceConstraint => StanzaError::wait(Condition::ResourceConstraint),
    }
}
