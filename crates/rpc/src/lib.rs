//! The link between nodes: connection managers and session routers, over gRPC.
#![forbid(unsafe_code)]

mod calls;
mod config;
mod convert;
mod error;
mod io;
pub mod link;
mod metrics;
mod pb;
pub mod peers;
mod role;
mod tls;

pub use config::{Config, Invalid, Stores};
pub use error::Error;
pub use role::Role;
pub use tls::Identity;

use starling_ports::ids::NodeId;
use xxhash_rust::xxh3::xxh3_64;

/// The id of the node that is called `name`, in this life of it.
pub fn node_id(name: &str, incarnation: u64) -> NodeId {
    NodeId { name: xxh3_64(name.as_bytes()).max(1), incarnation: incarnation.max(1) }
}

/// The version of `proto/`: a node that speaks another one is refused.
pub const VERSION: u32 = 1;
