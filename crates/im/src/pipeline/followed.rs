//! The stanzas of a batch that are followed: a span each, from being taken until the batch is handled.

use starling_ports::ingress::Submitted;
use starling_ports::trace::{Carried, Context, Kind, Span, Tracer};
use starling_stanza::StanzaError;

/// By their numbers. Empty, and without memory, where none is.
#[derive(Debug, Default)]
pub(super) struct Followed(Vec<(u64, Span)>);

impl Followed {
    /// That stanza is followed from here on.
    pub(super) fn take(&mut self, tracer: &Tracer, number: u64, context: &Context) {
        let mut span = tracer.follow_on("route", Kind::Internal, context);
        span.set("xmpp.number", usize::try_from(number).unwrap_or(usize::MAX));
        tracing::debug!(event = "stanza_routed", number, "a followed stanza is routed");
        self.0.push((number, span));
    }

    /// What goes with whatever that stanza leads to.
    pub(super) fn carried(&self, number: u64) -> Carried {
        self.0.iter().find(|(of, _)| *of == number).and_then(|(_, span)| span.carried())
    }

    /// It was refused.
    pub(super) fn refused(&mut self, number: u64, error: &StanzaError) {
        if let Some((_, span)) = self.0.iter_mut().find(|(of, _)| *of == number) {
            span.set("xmpp.error", error.condition.as_str());
            span.fail();
        }
    }
}

/// What the log says of a batch, if one of it is followed: which trace. At the level that every filter lets through.
pub(super) fn logged(batch: &[Submitted]) -> Option<tracing::Span> {
    let context = batch.iter().find_map(|one| one.trace.as_deref())?;
    let (trace_id, span_id) = (format!("{:032x}", context.trace), format!("{:016x}", context.span));
    Some(tracing::error_span!("stanza", trace_id, span_id))
}
