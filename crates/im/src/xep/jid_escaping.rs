//! XEP-0106 JID Escaping: escaped names are names like any other.
//!
//! Version 1.1.1 of XEP-0106: complete.

use std::sync::Arc;

use crate::hooks::{Hooks, Xep, XepInfo};

/// Says so. Addresses travel in their escaped form, so the server itself never unescapes one;
/// `starling_jid` refuses those that begin or end with an escaped space.
#[derive(Debug)]
pub(super) struct JidEscaping;

/// §7; the space in the name of the feature is escaped itself.
const FEATURE: &str = "jid\\20escaping";

impl Xep for JidEscaping {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[106], server: &[FEATURE], account: &[] }
    }
    fn attach(self: Arc<Self>, _: &mut Hooks) {}
}
