//! vCards and private XML: one partition an account.

use async_trait::async_trait;
use bytes::Bytes;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::documents::{Document, Documents};

use crate::error::corrupt;
use crate::store::Store;
use crate::values::size;

const WHAT: &str = "a document";

/// Kind, namespace and name.
fn key(document: &Document) -> (i8, &str, &str) {
    match document {
        Document::Vcard => (0, "", ""),
        Document::Private(namespace, name) => (1, namespace, name),
    }
}

#[async_trait]
impl Documents for Store {
    async fn get(&self, owner: &BareJid, document: &Document) -> Result<Option<Bytes>> {
        let (kind, namespace, name) = key(document);
        let values = (owner.as_str(), kind, namespace, name);
        let found = self.client.read(&self.client.statements.documents.get, values).await?;
        let Some(row) = found.first::<(Option<Vec<u8>>,)>() else { return Ok(None) };
        let xml = row.and_then(|(xml,)| xml).ok_or(corrupt(WHAT));
        xml.map(|xml| Some(xml.into())).map_err(|_| self.client.corrupt(WHAT, found.place()))
    }

    async fn put(&self, owner: &BareJid, document: &Document, xml: Bytes) -> Result<()> {
        let (kind, namespace, name) = key(document);
        let values = (owner.as_str(), kind, namespace, name, &xml[..], size(xml.len()), self.stamps.next());
        self.client.write(&self.client.statements.documents.put, values).await
    }

    async fn size(&self, owner: &BareJid) -> Result<usize> {
        let found = self.client.read(&self.client.statements.documents.sizes, (owner.as_str(),)).await?;
        let mut total: usize = 0;
        for row in found.rows::<(Option<i32>,)>() {
            let size = row.and_then(|(size,)| size).and_then(|size| usize::try_from(size).ok());
            total =
                total.saturating_add(size.ok_or(()).map_err(|()| self.client.corrupt(WHAT, found.place()))?);
        }
        Ok(total)
    }
}

impl Store {
    /// All documents of an account, for an export: no more than its quota allows.
    pub async fn documents(&self, owner: &BareJid) -> Result<Vec<(Document, Bytes)>> {
        let found = self.client.read(&self.client.statements.documents.all, (owner.as_str(),)).await?;
        let documents = found.rows::<(i8, String, String, Option<Vec<u8>>)>().map(|row| match row {
            Some((0, _, _, Some(xml))) => Ok((Document::Vcard, xml.into())),
            Some((1, namespace, name, Some(xml))) => {
                Ok((Document::Private(namespace.into(), name.into()), xml.into()))
            }
            _ => Err(self.client.corrupt(WHAT, found.place())),
        });
        documents.collect()
    }
}
