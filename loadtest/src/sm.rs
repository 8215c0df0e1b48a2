//! A client's counts of XEP-0198, and what any client answers: `<r/>` and pings (XEP-0199 §4).

use crate::mark::number;
use crate::scan;
use std::collections::VecDeque;

/// The counts of one stream. Without `<enable/>` only answers are kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sm {
    is_on: bool,
    id: String,
    /// Stanzas that came.
    heard: u32,
    /// Stanzas that went out, and at which places among them those that are no messages of the load.
    sent: u64,
    others: VecDeque<u64>,
    others_acked: u64,
    h: u64,
    answers: String,
}

impl Sm {
    /// Just enabled.
    pub(crate) fn enabled(id: String) -> Self {
        Self { is_on: true, id, ..Self::default() }
    }

    /// So many messages of the load were written.
    pub(crate) fn wrote_messages(&mut self, count: u64) {
        self.sent += count;
    }

    /// So many other stanzas were written.
    pub(crate) fn wrote_others(&mut self, count: u64) {
        for _ in 0..count {
            self.sent += 1;
            if self.is_on {
                self.others.push_back(self.sent);
            }
        }
    }

    /// How many messages of the load the server has acknowledged: the first ones.
    pub(crate) fn acked_messages(&self) -> u64 {
        self.h.saturating_sub(self.others_acked)
    }

    /// Takes a stanza of the server into account.
    pub(crate) fn hear(&mut self, stanza: &[u8]) {
        match scan::name(stanza) {
            b"a" | b"resumed" => {
                self.h = self.h.max(scan::attribute(stanza, "h").and_then(number).unwrap_or(0));
                while self.others.front().is_some_and(|place| *place <= self.h) {
                    self.others.pop_front();
                    self.others_acked += 1;
                }
                if scan::name(stanza) == b"resumed" {
                    // Those that were lost with the connection are not written again.
                    self.sent -= self.others.len() as u64;
                    self.others.clear();
                }
            }
            b"r" => self.answers.push_str(&self.ack()),
            b"message" | b"presence" => self.heard = self.heard.wrapping_add(1),
            b"iq" => {
                self.heard = self.heard.wrapping_add(1);
                self.hear_iq(stanza);
            }
            _ => {}
        }
    }

    fn hear_iq(&mut self, stanza: &[u8]) {
        let text = |name| scan::attribute(stanza, name).and_then(|value| std::str::from_utf8(value).ok());
        let (Some("get"), Some(id)) = (text("type"), text("id")) else { return };
        let to = text("from").map_or_else(String::new, |from| format!(" to='{from}'"));
        self.wrote_others(1);
        self.answers.push_str(&format!("<iq type='result' id='{id}'{to}/>"));
    }

    /// `<a/>`
    pub(crate) fn ack(&self) -> String {
        format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.heard)
    }

    /// `<resume/>`
    pub(crate) fn resume(&self) -> String {
        format!("<resume xmlns='urn:xmpp:sm:3' h='{}' previd='{}'/>", self.heard, self.id)
    }

    /// What is to be answered; asked once.
    pub(crate) fn answers(&mut self) -> String {
        std::mem::take(&mut self.answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_are_counted_in_messages_whatever_else_was_written_between() {
        let mut sm = Sm::enabled("x".to_owned());
        sm.wrote_others(1);
        sm.wrote_messages(3);
        sm.hear(b"<iq type='get' id='p' from='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
        sm.wrote_messages(2);
        let mut acked = Vec::new();
        for h in [0, 1, 3, 4, 5, 6, 7] {
            sm.hear(format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>").as_bytes());
            acked.push(sm.acked_messages());
        }
        assert_eq!(acked, [0, 0, 2, 3, 3, 4, 5]);
        assert_eq!(sm.answers(), "<iq type='result' id='p' to='localhost'/>");
    }

    #[test]
    fn what_is_lost_with_a_connection_and_no_message_is_not_counted_any_more() {
        let mut sm = Sm::enabled("x".to_owned());
        sm.wrote_others(1);
        sm.wrote_messages(1);
        sm.wrote_others(2);
        sm.wrote_messages(1);
        sm.hear(b"<resumed xmlns='urn:xmpp:sm:3' h='2' previd='x'/>");
        assert_eq!(sm.acked_messages(), 1);
        sm.wrote_others(1);
        sm.hear(b"<a xmlns='urn:xmpp:sm:3' h='3'/>");
        assert_eq!(sm.acked_messages(), 2, "the message after the two is the third stanza");
        sm.hear(b"<a xmlns='urn:xmpp:sm:3' h='4'/>");
        assert_eq!(sm.acked_messages(), 2);
    }

    #[test]
    fn what_was_heard_is_told_when_asked_and_when_resuming() {
        let mut sm = Sm::enabled("id-1".to_owned());
        for stanza in
            ["<message/>", "<presence/>", "<a xmlns='urn:xmpp:sm:3' h='0'/>", "<r xmlns='urn:xmpp:sm:3'/>"]
        {
            sm.hear(stanza.as_bytes());
        }
        assert_eq!(sm.answers(), "<a xmlns='urn:xmpp:sm:3' h='2'/>");
        assert_eq!(sm.answers(), "");
        assert_eq!(sm.resume(), "<resume xmlns='urn:xmpp:sm:3' h='2' previd='id-1'/>");
    }
}
