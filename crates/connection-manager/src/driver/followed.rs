//! The stanzas of one client that are followed: from being read until they are durable, and from being pushed here until the client
//! has acknowledged them.

use std::collections::VecDeque;

use starling_ports::delivery::Outgoing;
use starling_ports::ids::LogNumber;
use starling_ports::ingress::Submitted;
use starling_ports::trace::{Context, Kind, Sampled, Span, Tracer, account_hash};
use tracing::debug;

use super::{Driver, Held};

/// How many may wait for the client's ack; then the oldest ends without one.
const MOST: usize = 64;

/// Made when the first stanza is followed.
#[derive(Default)]
pub(super) struct Followed {
    /// Of the batch that is under way.
    received: Vec<Span>,
    /// Written, and not acknowledged.
    written: VecDeque<(LogNumber, Span)>,
}

impl Followed {
    /// The batch is answered.
    pub(super) fn handled(&mut self, is_durable: bool) {
        if !is_durable {
            self.received.iter_mut().for_each(Span::fail);
        }
        self.received.clear();
    }

    /// The client has everything up to here.
    pub(super) fn acknowledged(&mut self, upto: LogNumber) {
        while self.written.front().is_some_and(|(number, _)| *number <= upto) {
            self.written.pop_front();
        }
    }

    fn receive(&mut self, tracer: &Tracer, submitted: &mut Submitted, why: &Sampled) {
        let mut span = tracer.begin("receive", Kind::Producer);
        span.set("messaging.system", "xmpp");
        span.set("xmpp.stanza", submitted.draft.kind().as_str());
        span.set("messaging.message.body.size", submitted.draft.children().len());
        if let Sampled::Account(account) = why {
            span.set("xmpp.account.hash", account_hash(account).as_str());
        }
        let Context { trace, span: id, .. } = span.context();
        let (trace_id, span_id) = (format!("{trace:032x}"), format!("{id:016x}"));
        debug!(event = "stanza_followed", trace_id, span_id, "a stanza is followed");
        submitted.trace = span.carried();
        self.received.push(span);
    }

    fn deliver(&mut self, tracer: &Tracer, number: LogNumber, after: &Context) {
        let mut deliver = tracer.follow_on("deliver", Kind::Consumer, after).since(after.arrived);
        deliver.set("messaging.system", "xmpp");
        let ack = tracer.follow_on("ack", Kind::Internal, &deliver.context());
        if self.written.len() >= MOST
            && let Some((_, mut oldest)) = self.written.pop_front()
        {
            oldest.fail();
        }
        self.written.push_back((number, ack));
    }
}

impl Drop for Followed {
    /// The connection has ended: what it had not acknowledged it gets again, elsewhere.
    fn drop(&mut self) {
        self.received.iter_mut().for_each(Span::fail);
        self.written.iter_mut().for_each(|(_, span)| span.fail());
    }
}

impl Driver<'_> {
    /// Begins the traces of those among these that are to be followed.
    #[cold]
    pub(super) fn follow(&mut self, held: &Held, drafts: &mut [Submitted]) {
        let tracer = &self.shared.tracer;
        for submitted in drafts {
            if let Some(why) = tracer.sample(&held.session().jid, submitted.draft.to()) {
                self.followed.get_or_insert_default().receive(tracer, submitted, &why);
            }
        }
    }

    /// An entry that is followed was written.
    #[cold]
    pub(super) fn written(&mut self, outgoing: &Outgoing) {
        if let Some(context) = &outgoing.trace {
            let followed = self.followed.get_or_insert_default();
            followed.deliver(&self.shared.tracer, outgoing.number, context);
        }
    }
}
