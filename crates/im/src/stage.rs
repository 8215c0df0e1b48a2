//! The order in which modules decide about a message, on one page.

/// At the receiver's account and at the sender's own, in this order; within a stage, in the order of `xep/mod.rs`.
/// Before the first, `Clean` modules have taken out what a client may not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// May it come in? Blocking (XEP-0191).
    Admit,
    /// To which sessions? RFC 6121 §8.5, `rules::message`.
    Route,
    /// What is kept of it? The archive (XEP-0313), then the offline storage (XEP-0160).
    Keep,
    /// Who else sees it? Carbons (XEP-0280).
    Copy,
    /// May it wait for an inactive client (XEP-0352)?
    Urge,
}
