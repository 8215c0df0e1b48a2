//! XEP-0359 Unique and Stable Stanza IDs: nobody but the server says which id a message has in an archive here.
//!
//! Version 0.7.0 of XEP-0359: complete; ids are those of the archive, so with `im.archive = false` there are none.

use std::sync::Arc;

use starling_jid::Jid;
use starling_stanza::Message;
use starling_xml::{Element, ns};

use crate::hooks::{Clean, Hooks, Xep, XepInfo};

/// Takes forged ids out. The true one is appended for each receiver when the message is written (`dispatch::render`).
#[derive(Debug)]
pub(crate) struct StanzaIds {
    /// Whether messages get ids: it is those of the archive that they get.
    pub(crate) are_given: bool,
}

impl Xep for StanzaIds {
    fn info(&self) -> XepInfo {
        // §3: the feature promises an id for each message.
        let account: &[_] = if self.are_given { &[ns::SID] } else { &[] };
        XepInfo { numbers: &[359], server: &[], account }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.clean(self);
    }
}

impl Clean for StanzaIds {
    fn concerns(&self, message: &Message) -> bool {
        message.has(ns::SID, "stanza-id")
    }
    /// §4: deleted even where none is added. What other entities said stays, and so does the sender's `<origin-id/>`.
    fn clean(&self, message: Message, is_ours: &dyn Fn(&str) -> bool) -> Message {
        message.without(|child| child.is(ns::SID, "stanza-id") && is_forged(child, is_ours))
    }
}

/// Addresses are compared prepared (RFC 7622): a receiver would take `BOB@Example.ORG` for its own account.
fn is_forged(id: &Element, is_ours: &dyn Fn(&str) -> bool) -> bool {
    let by = id.attr("by").map(|by| Jid::new(by.trim()));
    by.is_some_and(|by| by.is_ok_and(|by| is_ours(by.domain())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xep::tests::message;

    fn cleaned(content: &str) -> String {
        let message = message("chat", content);
        let ids = StanzaIds { are_given: true };
        let message =
            if ids.concerns(&message) { ids.clean(message, &|d| d == "b.example") } else { message };
        String::from_utf8(message.children().to_vec()).unwrap()
    }

    #[test]
    fn an_id_by_one_of_ours_is_taken_out_however_it_is_written() {
        for by in [
            "bob@b.example",
            "b.example",
            "BOB@B.Example",
            " bob@b.example ",
            "x@b.example/y",
            "bob@B.EXAMPLE.",
        ] {
            let content =
                format!("<body>x</body><stanza-id xmlns='urn:xmpp:sid:0' id='1' by='{by}'/><y xmlns='z'/>");
            assert_eq!(cleaned(&content), "<body>x</body><y xmlns='z'/>", "{by}");
        }
    }

    #[test]
    fn what_others_said_stays() {
        for content in [
            "<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='room@rooms.other.example'/>",
            "<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='bob@b.example.other'/>",
            "<stanza-id xmlns='urn:xmpp:sid:0' id='1'/>",
            "<stanza-id xmlns='urn:other' id='1' by='bob@b.example'/>",
            "<origin-id xmlns='urn:xmpp:sid:0' id='mine'/>",
            "<z xmlns='u'><stanza-id xmlns='urn:xmpp:sid:0' id='1' by='bob@b.example'/></z>",
        ] {
            assert_eq!(cleaned(content), content);
        }
    }
}
