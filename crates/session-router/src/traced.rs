//! Which of a batch is followed: its spans at the store, and the contexts that go with its pushes.

use std::ops::Range;

use starling_ports::trace::{Carried, Context, Kind, Span, Tracer};

/// The followed stanzas of a batch, with the pushes that each led to. Empty, and without memory, where none is.
#[derive(Debug, Default)]
pub(crate) struct Traced(Vec<(Range<usize>, Context)>);

impl Traced {
    /// These pushes come of a stanza that is followed.
    pub(crate) fn note(&mut self, pushes: Range<usize>, context: &Context) {
        self.0.push((pushes, *context));
    }

    /// What goes with that push.
    pub(crate) fn of(&self, push: usize) -> Carried {
        let (_, context) = self.0.iter().find(|(pushes, _)| pushes.contains(&push))?;
        Some(Box::new(*context))
    }

    /// One span for each, until they are dropped: the store takes a batch at once.
    pub(crate) fn storing(&self, tracer: &Tracer, rows: usize) -> Vec<Span> {
        let span = |(_, context): &(Range<usize>, Context)| {
            let mut span = tracer.follow_on("store", Kind::Client, context);
            span.set("messaging.batch.message_count", rows);
            span
        };
        self.0.iter().map(span).collect()
    }
}
