//! XML that users keep on the server: vCards (XEP-0054) and private storage (XEP-0049).

use async_trait::async_trait;
use bytes::Bytes;
use starling_jid::BareJid;

use crate::Result;

/// Which document of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Document {
    /// The vCard.
    Vcard,
    /// Private XML, by the namespace and name of its root element.
    Private(Box<str>, Box<str>),
}

/// The documents. What returned `Ok` outlives the process.
#[async_trait]
pub trait Documents: Send + Sync + 'static {
    /// The document, canonical XML.
    async fn get(&self, owner: &BareJid, document: &Document) -> Result<Option<Bytes>>;
    /// Replaces it.
    async fn put(&self, owner: &BareJid, document: &Document, xml: Bytes) -> Result<()>;
    /// How many bytes the documents of an account take, for its quota.
    async fn size(&self, owner: &BareJid) -> Result<usize>;
}
