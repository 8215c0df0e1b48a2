//! The XEPs, one file each, sorted by name.

mod blocking;
mod caps;
mod carbons;
mod disco;
mod form;
mod ping;

use std::sync::Arc;

pub(crate) use caps::feature as caps_feature;

use crate::hooks::Xep;

/// All of them. Within a stage they decide in this order.
pub fn all() -> Vec<Arc<dyn Xep>> {
    vec![
        Arc::new(blocking::Blocking),
        Arc::new(caps::Caps),
        Arc::new(carbons::Carbons),
        Arc::new(disco::Disco),
        Arc::new(ping::Ping),
    ]
}
