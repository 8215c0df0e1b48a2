//! Why XML was refused; each variant is one stream error of RFC 6120 §4.9.3.

/// What is wrong with the XML.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum XmlError {
    /// Breaks XML 1.0 or Namespaces in XML: `not-well-formed`.
    #[error("not well-formed: {0}")]
    NotWellFormed(&'static str),
    /// XML that XMPP forbids (RFC 6120 §11.1): `restricted-xml`.
    #[error("restricted: {0}")]
    Restricted(&'static str),
    /// A prefix that is not declared, or declared where it must not be: `bad-namespace-prefix`.
    #[error("bad namespace prefix: {0}")]
    BadNamespacePrefix(&'static str),
    /// Not UTF-8 (RFC 6120 §11.6): `unsupported-encoding`.
    #[error("unsupported encoding")]
    UnsupportedEncoding,
    /// Exceeds a limit: `policy-violation`.
    #[error("{0}")]
    TooBig(&'static str),
}

pub(crate) type Result<T, E = XmlError> = std::result::Result<T, E>;
