//! How much of everything a peer may send (RFC 6120 §13.12).

/// Bounds for one stanza. What exceeds one ends the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a stanza, as it came and also in its canonical form: namespaces declared again make it longer.
    pub bytes: usize,
    /// Elements open at once, the stanza itself included.
    pub depth: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
    /// Namespace declarations in one stanza.
    pub namespaces: usize,
    /// Elements in one stanza, without itself.
    pub children: usize,
}

impl Limits {
    /// For somebody who has not said who they are.
    pub const BEFORE_LOGIN: Limits =
        Limits { bytes: 10_000, depth: 8, attributes: 32, namespaces: 16, children: 64 };
    /// For an authenticated user.
    pub const AFTER_LOGIN: Limits =
        Limits { bytes: 262_144, depth: 64, attributes: 64, namespaces: 64, children: 10_000 };
}
