//! What is counted of the link. The only place that names these metrics.

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

/// Why a peer or what it sent was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The handshake failed: a certificate of another authority, or none that can be read.
    Handshake,
    /// No certificate.
    Nobody,
    /// A certificate without the role.
    Role,
    /// Another version of the contract.
    Version,
    /// A node without a name, or a former life of one.
    Node,
    /// More than is taken at once.
    Oversize,
    /// What nobody may send.
    Malformed,
}

impl Refused {
    const ALL: [Refused; 7] = [
        Self::Handshake,
        Self::Nobody,
        Self::Role,
        Self::Version,
        Self::Node,
        Self::Oversize,
        Self::Malformed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Nobody => "no-certificate",
            Self::Role => "role",
            Self::Version => "version",
            Self::Node => "node",
            Self::Oversize => "oversize",
            Self::Malformed => "malformed",
        }
    }
}

/// Something was refused.
pub(crate) fn refused(why: Refused) {
    refusals(why).increment(1);
}

fn refusals(why: Refused) -> Counter {
    counter!("starling_link_refused_total", "reason" => why.as_str())
}

/// Resolved once: counting is an addition.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Links that are up now.
    pub(crate) links: Gauge,
    /// Links that were lost, not left.
    pub(crate) lost: Counter,
    /// Calls sent again because their link was lost.
    pub(crate) resent: Counter,
    /// Deliveries that found no node.
    pub(crate) gone: Counter,
    /// Deliveries that found a node's queue full.
    pub(crate) full: Counter,
    /// Sessions given up because nobody renewed them.
    pub(crate) lapsed: Counter,
    /// Frames of a batch.
    pub(crate) batch: Histogram,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        describe_counter!(
            "starling_link_refused_total",
            "Peers and batches that the link refused, by reason"
        );
        // What is first seen as 1 has not increased, for whoever asks by how much.
        Refused::ALL.into_iter().for_each(|why| refusals(why).increment(0));
        describe_gauge!("starling_links", "Links to other nodes that are up");
        describe_counter!(
            "starling_link_lost_total",
            "Links that broke: neither end had left, at each end that saw it"
        );
        describe_counter!(
            "starling_link_resent_total",
            "Calls that were sent again, because their link was lost"
        );
        describe_counter!("starling_link_undelivered_total", "Deliveries that no node took, by reason");
        describe_counter!("starling_link_lapsed_total", "Sessions given up because no router renewed them");
        describe_histogram!("starling_link_batch_frames", "Frames that went out together");
        Metrics {
            links: gauge!("starling_links"),
            lost: counter!("starling_link_lost_total"),
            resent: counter!("starling_link_resent_total"),
            gone: counter!("starling_link_undelivered_total", "reason" => "gone"),
            full: counter!("starling_link_undelivered_total", "reason" => "full"),
            lapsed: counter!("starling_link_lapsed_total"),
            batch: histogram!("starling_link_batch_frames"),
        }
    }
}
