//! XEP-0334 Message Processing Hints: whether a message may be stored and copied, as its sender wishes.
//!
//! Version 1.0.0 of XEP-0334: complete.

use std::sync::Arc;

use starling_stanza::{Message, MessageType};
use starling_xml::ns;

use crate::hooks::{Hooks, Xep, XepInfo};

/// Asked by the archive, the offline storage and carbons; decides nothing by itself.
#[derive(Debug)]
pub(crate) struct ProcessingHints;

impl Xep for ProcessingHints {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[334], server: &[ns::HINTS], account: &[ns::HINTS] }
    }
    fn attach(self: Arc<Self>, _: &mut Hooks) {}
}

/// What the sender wishes for keeping a message. Of several hints the one that keeps less holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storing {
    /// Nothing was said.
    Usual,
    /// `<store/>` (§4.4): even where it would not be kept otherwise.
    Wanted,
    /// `<no-permanent-store/>` (§4.1): not in an archive, but until it is delivered.
    Temporary,
    /// `<no-store/>` (§4.2): not even for who is offline.
    Never,
}

/// The hint about storing. §5: in an error they are those of the message that it answers.
pub(crate) fn storing(message: &Message) -> Storing {
    if !message.payloads().has_ns(ns::HINTS) || message.message_type() == MessageType::Error {
        return Storing::Usual;
    }
    let says = |name| message.has(ns::HINTS, name);
    if says("no-store") {
        Storing::Never
    } else if says("no-permanent-store") {
        Storing::Temporary
    } else if says("store") {
        Storing::Wanted
    } else {
        Storing::Usual
    }
}

/// `<no-copy/>` (§4.3): only to whom it is addressed.
pub(crate) fn may_be_copied(message: &Message) -> bool {
    message.message_type() == MessageType::Error || !message.has(ns::HINTS, "no-copy")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xep::tests::message;

    #[test]
    fn of_several_hints_the_one_that_keeps_less_holds() {
        let hint = |name: &str| format!("<{name} xmlns='urn:xmpp:hints'/>");
        let of = |names: &[&str]| {
            storing(&message("chat", &names.iter().map(|name| hint(name)).collect::<String>()))
        };
        assert_eq!(of(&[]), Storing::Usual);
        assert_eq!(of(&["store"]), Storing::Wanted);
        assert_eq!(of(&["store", "no-permanent-store"]), Storing::Temporary);
        assert_eq!(of(&["no-permanent-store", "no-store", "store"]), Storing::Never);
    }

    #[test]
    fn an_error_carries_the_hints_of_another_message() {
        let content = "<no-store xmlns='urn:xmpp:hints'/><no-copy xmlns='urn:xmpp:hints'/>";
        assert_eq!(storing(&message("error", content)), Storing::Usual);
        assert!(may_be_copied(&message("error", content)));
        assert!(!may_be_copied(&message("chat", content)));
    }
}
