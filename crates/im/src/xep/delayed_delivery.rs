//! XEP-0203 Delayed Delivery: only the server says that it was the server that kept a message back.
//!
//! Version 2.0 of XEP-0203: complete.

use std::sync::Arc;

use starling_jid::Jid;
use starling_stanza::Message;
use starling_xml::{Element, ns};

use crate::hooks::{Clean, Hooks, Xep, XepInfo};

/// Takes forged delays out. The true one is appended when a message is written late (`dispatch::render`).
#[derive(Debug)]
pub(crate) struct DelayedDelivery;

impl Xep for DelayedDelivery {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[203], server: &[ns::DELAY], account: &[] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.clean(self);
    }
}

impl Clean for DelayedDelivery {
    fn concerns(&self, message: &Message) -> bool {
        message.has(ns::DELAY, "delay")
    }
    /// §5: one that names the server is discarded. So the server's own never meets another of the same `from`, and a
    /// delay by anybody else, the sender first of all, travels on as it is.
    fn clean(&self, message: Message, is_ours: &dyn Fn(&str) -> bool) -> Message {
        message.without(|child| child.is(ns::DELAY, "delay") && is_forged(child, is_ours))
    }
}

fn is_forged(delay: &Element, is_ours: &dyn Fn(&str) -> bool) -> bool {
    let from = delay.attr("from").map(|from| Jid::new(from.trim()));
    from.is_some_and(|from| from.is_ok_and(|from| from.local().is_none() && is_ours(from.domain())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xep::tests::message;

    fn delays(from: &str) -> usize {
        let delay = format!("<delay xmlns='urn:xmpp:delay'{from} stamp='2020-01-01T00:00:00Z'/>");
        let cleaned = DelayedDelivery.clean(message("chat", &delay), &|domain| domain == "b.example");
        cleaned.payloads().len()
    }

    #[test]
    fn only_what_names_the_server_is_discarded() {
        assert_eq!(delays(" from='b.example'"), 0);
        assert_eq!(delays(" from='B.example'"), 0);
        assert_eq!(delays(" from='alice@b.example/desk'"), 1);
        assert_eq!(delays(" from='other.example'"), 1);
        assert_eq!(delays(""), 1);
    }
}
