//! The XEPs, one file each, sorted by name.

mod blocking;
mod caps;
mod carbons;
mod csi;
mod delayed_delivery;
mod disco;
mod form;
mod mam;
mod offline;
mod ping;
mod processing_hints;
mod stanza_ids;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use caps::feature as caps_feature;

use crate::hooks::Xep;

/// All of them. Within a stage they decide in this order.
pub fn all() -> Vec<Arc<dyn Xep>> {
    vec![
        Arc::new(blocking::Blocking),
        Arc::new(caps::Caps),
        Arc::new(carbons::Carbons),
        Arc::new(csi::ClientStates),
        Arc::new(delayed_delivery::DelayedDelivery),
        Arc::new(disco::Disco),
        Arc::new(mam::Mam),
        Arc::new(offline::Offline),
        Arc::new(ping::Ping),
        Arc::new(processing_hints::ProcessingHints),
        Arc::new(stanza_ids::StanzaIds),
    ]
}
