//! One whole element: its head understood, its content checked and canonical but not taken apart.

use bytes::Bytes;

use crate::name::write_attributes;
use crate::stanza;
use crate::writer::escape_attr;
use crate::{Element, Head, Limits, Payloads, XmlError};

/// One complete top-level element, checked and made canonical.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Raw {
    /// The start tag.
    pub head: Head,
    /// Canonical XML of the content. It stands on its own where the element's own namespace is the default one.
    pub children: Bytes,
    /// The names of the direct children.
    pub payloads: Payloads,
}

impl Raw {
    /// The tree.
    pub fn to_element(&self) -> Element {
        Element::from_parts(&self.head, &self.children)
    }
    /// The whole element, with an `xmlns` of its own.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (ns, local) = (self.head.name.ns(), self.head.name.local());
        out.push(b'<');
        out.extend_from_slice(local.as_bytes());
        out.extend_from_slice(b" xmlns='");
        escape_attr(out, ns);
        out.push(b'\'');
        write_attributes(out, &self.head.attributes);
        if self.children.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        out.extend_from_slice(&self.children);
        out.extend_from_slice(b"</");
        out.extend_from_slice(local.as_bytes());
        out.push(b'>');
    }
    /// The direct children as whole elements of their own, such as the stanzas in a BOSH `<body/>`. Text between
    /// them must be white space.
    pub fn elements(&self, limits: Limits) -> Result<Vec<Raw>, XmlError> {
        stanza::elements(&self.children, &self.head.name.ns, limits)
    }
}
