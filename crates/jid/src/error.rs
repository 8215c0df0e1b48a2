//! Why a text is no address.

/// Which part is wrong (RFC 7622 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JidError {
    /// The part before the `@`.
    #[error("the localpart is not allowed")]
    Localpart,
    /// The part that is always there.
    #[error("the domainpart is not allowed")]
    Domainpart,
    /// The part behind the `/`.
    #[error("the resourcepart is not allowed")]
    Resourcepart,
    /// A part of more than 1023 bytes.
    #[error("a part is longer than 1023 bytes")]
    TooLong,
    /// A bare JID was wanted, and a full one was given.
    #[error("a bare JID has no resourcepart")]
    NotBare,
    /// A full JID was wanted, and a bare one was given.
    #[error("a full JID has a resourcepart")]
    NotFull,
    /// A password that RFC 8265 does not allow.
    #[error("the password is empty or has characters that are not allowed")]
    Password,
}
