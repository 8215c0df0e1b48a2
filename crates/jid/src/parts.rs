//! The text of an address and where its parts lie in it; bare and full JIDs share one allocation.

use std::borrow::Cow;
use std::sync::Arc;

use crate::JidError;
use crate::prep::{domainpart, localpart, resourcepart};

#[derive(Clone)]
pub(crate) struct Parts {
    text: Arc<str>,
    at: Option<u16>, // of the `@`
    bare: u16,       // length of the bare JID
}

impl Parts {
    /// RFC 7622 §3.1: the first `/` ends the bare JID, the first `@` before it ends the localpart.
    pub(crate) fn parse(text: &str) -> Result<Parts, JidError> {
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match bare.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, bare),
        };
        if let Some(parts) = Parts::canonical(text, local, domain, resource)? {
            return Ok(parts);
        }
        Parts::new(local, domain, resource)
    }

    /// Of a text that preparation leaves as it is, as nearly all are: nothing is put together then.
    fn canonical(
        text: &str,
        local: Option<&str>,
        domain: &str,
        resource: Option<&str>,
    ) -> Result<Option<Parts>, JidError> {
        let same = |part: Cow<'_, str>, before: &str| matches!(part, Cow::Borrowed(after) if after.len() == before.len());
        let is_canonical = local.map_or(Ok(true), |local| Ok(same(localpart(local)?, local)))?
            && same(domainpart(domain)?, domain)
            && resource.map_or(Ok(true), |resource| Ok(same(resourcepart(resource)?, resource)))?;
        if !is_canonical {
            return Ok(None);
        }
        let bare = short(text.len() - resource.map_or(0, |resource| resource.len() + 1));
        Ok(Some(Parts { text: text.into(), at: local.map(|local| short(local.len())), bare }))
    }

    pub(crate) fn new(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Parts, JidError> {
        let local = local.map(localpart).transpose()?;
        let domain = domainpart(domain)?;
        let resource = resource.map(resourcepart).transpose()?;
        let mut text = String::with_capacity(
            local.as_ref().map_or(0, |part| part.len() + 1)
                + domain.len()
                + resource.as_ref().map_or(0, |part| part.len() + 1),
        );
        let mut at = None;
        if let Some(local) = &local {
            text.push_str(local);
            at = Some(short(text.len()));
            text.push('@');
        }
        text.push_str(&domain);
        let bare = short(text.len());
        if let Some(resource) = &resource {
            text.push('/');
            text.push_str(resource);
        }
        Ok(Parts { text: text.into(), at, bare })
    }

    pub(crate) fn has_resource(&self) -> bool {
        self.text.len() > usize::from(self.bare)
    }
    pub(crate) fn whole(&self) -> &str {
        &self.text
    }
    pub(crate) fn bare(&self) -> &str {
        self.text.get(..usize::from(self.bare)).unwrap_or_default()
    }
    pub(crate) fn local(&self) -> Option<&str> {
        self.at.and_then(|at| self.text.get(..usize::from(at)))
    }
    pub(crate) fn domain(&self) -> &str {
        let start = self.at.map_or(0, |at| usize::from(at) + 1);
        self.text.get(start..usize::from(self.bare)).unwrap_or_default()
    }
    pub(crate) fn resource(&self) -> Option<&str> {
        self.text.get(usize::from(self.bare) + 1..)
    }
}

/// Parts are at most 1023 bytes, so three of them fit.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
