//! The session that a connection holds, under each claim that it had.

use std::sync::{Arc, OnceLock};

use starling_ports::ingress::SessionRef;

use crate::outbox::Outbox;

/// The session that a connection holds: set once.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) outbox: Arc<Outbox>,
    /// The same session under its next claim, once it was registered again.
    pub(crate) next: OnceLock<Box<Held>>,
}

impl Held {
    pub(crate) fn new(outbox: Arc<Outbox>) -> Held {
        Held { outbox, next: OnceLock::new() }
    }

    pub(crate) fn session(&self) -> &SessionRef {
        self.outbox.session()
    }
}

/// Under its last claim.
pub(crate) fn last(held: &OnceLock<Held>) -> Option<&Held> {
    let mut held = held.get()?;
    while let Some(next) = held.next.get() {
        held = next;
    }
    Some(held)
}
