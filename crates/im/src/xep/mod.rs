//! The XEPs, one file each, sorted by name.

mod blocking;
mod caps;
mod carbons;
mod csi;
mod delayed_delivery;
mod disco;
mod form;
mod jid_escaping;
mod last_activity;
mod mam;
mod offline;
mod ping;
mod private_xml;
mod processing_hints;
mod register;
mod rsm;
mod stanza_ids;
#[cfg(test)]
pub(crate) mod tests;
mod time;
mod vcard;
mod version;

use std::sync::Arc;

pub(crate) use caps::feature as caps_feature;
pub use mam::write_preferences;

use crate::Config;
use crate::hooks::Xep;

/// All that the configuration wants. Within a stage they decide in this order.
pub fn all(config: &Config) -> Vec<Arc<dyn Xep>> {
    let mut all: Vec<Arc<dyn Xep>> = vec![
        Arc::new(blocking::Blocking),
        Arc::new(caps::Caps),
        Arc::new(carbons::Carbons),
        Arc::new(csi::ClientStates),
        Arc::new(delayed_delivery::DelayedDelivery),
        Arc::new(disco::Disco),
        Arc::new(jid_escaping::JidEscaping),
        Arc::new(last_activity::LastActivity::new()),
        Arc::new(mam::Mam),
        Arc::new(offline::Offline),
        Arc::new(ping::Ping),
        Arc::new(private_xml::PrivateXml),
        Arc::new(processing_hints::ProcessingHints),
        Arc::new(register::Register),
        Arc::new(rsm::ResultSets),
        Arc::new(stanza_ids::StanzaIds { are_given: config.archive }),
        Arc::new(time::Time),
        Arc::new(vcard::Vcard),
        Arc::new(version::Version),
    ];
    // What is off is neither told by disco nor answered. Only the archive comes in pages.
    let off: Vec<u16> = [(config.archive, 313), (config.archive, 59), (config.tell_version, 92)]
        .into_iter()
        .filter_map(|(on, number)| (!on).then_some(number))
        .collect();
    all.retain(|module| !module.info().numbers.iter().any(|number| off.contains(number)));
    all
}
