//! The names of a stanza's direct children.

use crate::spans::Spans;
use crate::{Name, Word};

const RECENT: usize = 16;

/// Names of the direct children, in order: asked before any tree is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payloads(Vec<Name>);

impl Payloads {
    /// Those of canonical content.
    pub fn of(children: &[u8], default_ns: &str) -> Payloads {
        Payloads(Spans::new(children).elements().filter_map(|span| span.name(default_ns)).collect())
    }
    /// One after the other; a name stands as often as there are children of it.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.0.iter()
    }
    /// Whether there is a `<local xmlns='ns'/>`.
    pub fn has(&self, ns: &str, local: &str) -> bool {
        self.0.iter().any(|name| name.is(ns, local))
    }
    /// Whether there is any child in the namespace `ns`.
    pub fn has_ns(&self, ns: &str) -> bool {
        self.0.iter().any(|name| name.ns == *ns)
    }
    /// Adds one at the end.
    pub fn push(&mut self, ns: &str, local: &str) {
        // Children of one stanza share few namespaces: a long one is kept once.
        match self.0.iter().rev().take(RECENT).find(|name| name.ns == *ns) {
            Some(Name { ns, .. }) => self.0.push(Name { ns: ns.clone(), local: Word::local(local) }),
            None => self.0.push(Name::new(ns, local)),
        }
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
