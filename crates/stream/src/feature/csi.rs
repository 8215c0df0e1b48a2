//! XEP-0352 Client State Indication: the client says whether anybody looks at it.
//!
//! Version 1.0.0 of XEP-0352: complete.

use starling_xml::{Raw, ns};

/// The stream feature.
pub(crate) const FEATURE: &str = "<csi xmlns='urn:xmpp:csi:0'/>";

/// Whether the client is inactive from now on; `None` for another element.
pub(crate) fn read(raw: &Raw) -> Option<bool> {
    match raw.head.name.local() {
        "inactive" if raw.head.name.ns() == ns::CSI => Some(true),
        "active" if raw.head.name.ns() == ns::CSI => Some(false),
        _ => None,
    }
}
