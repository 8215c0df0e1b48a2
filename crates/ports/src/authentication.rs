//! Proving who one is. The keys stay behind this port: a connection manager only carries the words (RFC 6120 §6).

use std::net::IpAddr;

use async_trait::async_trait;
use starling_jid::BareJid;

/// Why it failed, in the words of RFC 6120 §6.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslFailure {
    /// The client gave up.
    #[error("aborted")]
    Aborted,
    /// The account is suspended.
    #[error("account-disabled")]
    AccountDisabled,
    /// PLAIN without TLS.
    #[error("encryption-required")]
    EncryptionRequired,
    /// Not base64.
    #[error("incorrect-encoding")]
    IncorrectEncoding,
    /// Somebody else's name to act as.
    #[error("invalid-authzid")]
    InvalidAuthzid,
    /// A mechanism that was not offered.
    #[error("invalid-mechanism")]
    InvalidMechanism,
    /// Not a message of that mechanism.
    #[error("malformed-request")]
    MalformedRequest,
    /// Weaker than is accepted.
    #[error("mechanism-too-weak")]
    MechanismTooWeak,
    /// Wrong password or no such user: the two cannot be told apart.
    #[error("not-authorized")]
    NotAuthorized,
    /// Our fault, or too many attempts: try later.
    #[error("temporary-auth-failure")]
    TemporaryAuthFailure,
}

impl SaslFailure {
    /// The element's local name.
    pub fn condition(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::AccountDisabled => "account-disabled",
            Self::EncryptionRequired => "encryption-required",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::MechanismTooWeak => "mechanism-too-weak",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }
}

/// The mechanisms that the server knows (RFC 5802, RFC 7677, RFC 4616).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM-SHA-256-PLUS
    ScramSha256Plus,
    /// SCRAM-SHA-1-PLUS
    ScramSha1Plus,
    /// SCRAM-SHA-256
    ScramSha256,
    /// SCRAM-SHA-1
    ScramSha1,
    /// PLAIN
    Plain,
}

impl Mechanism {
    /// Strongest first, as they are offered.
    pub const ALL: [Mechanism; 5] =
        [Self::ScramSha256Plus, Self::ScramSha1Plus, Self::ScramSha256, Self::ScramSha1, Self::Plain];

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::Plain => "PLAIN",
        }
    }
    /// Whether it binds to the TLS channel.
    pub fn is_plus(self) -> bool {
        matches!(self, Self::ScramSha256Plus | Self::ScramSha1Plus)
    }
    /// By its registered name.
    pub fn parse(name: &str) -> Option<Mechanism> {
        Self::ALL.into_iter().find(|mechanism| mechanism.as_str() == name)
    }
}

/// One message of a SASL exchange, on its way to whoever holds the keys.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which exchange: random, chosen by the connection manager, of one connection.
    pub exchange: u128,
    /// The first message says it; later ones repeat it.
    pub mechanism: Mechanism,
    /// The domain of the stream.
    pub domain: BareJid,
    /// Who asks, for the back-off.
    pub peer: IpAddr,
    /// Whether a -PLUS mechanism was offered on this stream: then a client that says it saw none is being deceived.
    pub plus_offered: bool,
    /// `tls-exporter` data of the channel (RFC 9266), where there is TLS of our own.
    pub channel_binding: Option<Vec<u8>>,
    /// What the client said; `None` for `<auth/>` without an initial response.
    pub message: Option<Vec<u8>>,
}

/// What to tell the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Go on.
    Challenge(Vec<u8>),
    /// It is who it says it is.
    Success {
        /// The account.
        account: BareJid,
        /// Additional data with success (RFC 6120 §6.4.6).
        additional: Option<Vec<u8>>,
    },
    /// It is not.
    Failure(SaslFailure),
}

/// Verifies SASL exchanges. Unknown users cost and look the same as wrong passwords; failures are slowed down per
/// account and address, never locked out.
#[async_trait]
pub trait Authentication: Send + Sync + 'static {
    /// The next step of an exchange. Never fails otherwise than by `Reply::Failure`.
    async fn step(&self, step: Step) -> Reply;
    /// The client broke off, or its connection did.
    fn abort(&self, exchange: u128);
}
