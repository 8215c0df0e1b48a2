//! Stream errors: what ends a stream (RFC 6120 §4.9).

use starling_stanza::Refusal;
use starling_xml::{XmlError, escape_attr, escape_text, ns};

macro_rules! conditions {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Why the stream ends, in the words of RFC 6120 §4.9.3.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum StreamCondition { $($(#[$doc])* $variant,)* }

        impl StreamCondition {
            /// The element's local name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
            /// By the element's local name.
            pub fn parse(text: &str) -> Option<StreamCondition> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

conditions! {
    /// §4.9.3.1
    BadFormat = "bad-format",
    /// §4.9.3.2
    BadNamespacePrefix = "bad-namespace-prefix",
    /// §4.9.3.3
    Conflict = "conflict",
    /// §4.9.3.4
    ConnectionTimeout = "connection-timeout",
    /// §4.9.3.6
    HostUnknown = "host-unknown",
    /// §4.9.3.7
    ImproperAddressing = "improper-addressing",
    /// §4.9.3.8
    InternalServerError = "internal-server-error",
    /// §4.9.3.9
    InvalidFrom = "invalid-from",
    /// §4.9.3.10
    InvalidNamespace = "invalid-namespace",
    /// §4.9.3.11
    InvalidXml = "invalid-xml",
    /// §4.9.3.12
    NotAuthorized = "not-authorized",
    /// §4.9.3.13
    NotWellFormed = "not-well-formed",
    /// §4.9.3.14
    PolicyViolation = "policy-violation",
    /// §4.9.3.16
    Reset = "reset",
    /// §4.9.3.17
    ResourceConstraint = "resource-constraint",
    /// §4.9.3.18
    RestrictedXml = "restricted-xml",
    /// §4.9.3.20
    SystemShutdown = "system-shutdown",
    /// §4.9.3.21
    UndefinedCondition = "undefined-condition",
    /// §4.9.3.22
    UnsupportedEncoding = "unsupported-encoding",
    /// §4.9.3.23
    UnsupportedFeature = "unsupported-feature",
    /// §4.9.3.24
    UnsupportedStanzaType = "unsupported-stanza-type",
    /// §4.9.3.25
    UnsupportedVersion = "unsupported-version",
}

/// A stream error with what may be said beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError {
    /// What went wrong.
    pub condition: StreamCondition,
    /// A sentence for a person.
    pub text: Option<&'static str>,
    /// XEP-0198 §4: the client has handled more than it was sent.
    pub too_high: Option<TooHigh>,
}

/// The numbers of `<handled-count-too-high/>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooHigh {
    /// What the client says.
    pub h: u32,
    /// What it was sent.
    pub sent: u32,
}

impl StreamError {
    /// An error with a sentence for a person.
    pub fn new(condition: StreamCondition, text: &'static str) -> StreamError {
        StreamError { condition, text: Some(text), too_high: None }
    }

    /// Writes `<stream:error/>`; `declared` says whether the stream header has declared the prefix.
    pub fn write(&self, out: &mut Vec<u8>, declared: bool) {
        out.extend_from_slice(b"<stream:error");
        if !declared {
            out.extend_from_slice(format!(" xmlns:stream='{}'", ns::STREAM).as_bytes());
        }
        out.extend_from_slice(
            format!("><{} xmlns='{}'/>", self.condition.as_str(), ns::STREAMS_ERRORS).as_bytes(),
        );
        if let Some(text) = self.text {
            out.extend_from_slice(format!("<text xmlns='{}' xml:lang='en'>", ns::STREAMS_ERRORS).as_bytes());
            escape_text(out, text);
            out.extend_from_slice(b"</text>");
        }
        if let Some(TooHigh { h, sent }) = self.too_high {
            let numbers = format!("<handled-count-too-high xmlns='{}' h='{h}' send-count='{sent}'/>", ns::SM);
            out.extend_from_slice(numbers.as_bytes());
        }
        out.extend_from_slice(b"</stream:error>");
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> StreamError {
        StreamError { condition, text: None, too_high: None }
    }
}

impl From<XmlError> for StreamError {
    fn from(error: XmlError) -> StreamError {
        match error {
            XmlError::NotWellFormed(_) => StreamCondition::NotWellFormed.into(),
            XmlError::Restricted(what) => StreamError::new(StreamCondition::RestrictedXml, what),
            XmlError::BadNamespacePrefix(_) => StreamCondition::BadNamespacePrefix.into(),
            XmlError::UnsupportedEncoding => StreamCondition::UnsupportedEncoding.into(),
            XmlError::TooBig(what) => StreamError::new(StreamCondition::PolicyViolation, what),
        }
    }
}

impl From<Refusal> for StreamError {
    fn from(refusal: Refusal) -> StreamError {
        match refusal {
            Refusal::UnsupportedStanzaType => StreamCondition::UnsupportedStanzaType.into(),
            Refusal::InvalidNamespace => StreamCondition::InvalidNamespace.into(),
            Refusal::InvalidFrom => StreamCondition::InvalidFrom.into(),
        }
    }
}

/// ` name='value'`, escaped.
pub(crate) fn attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape_attr(out, value);
    out.push(b'\'');
}
