//! Every port on one machine: memory, and an embedded store on disk.
#![forbid(unsafe_code)]

mod accounts;
mod ahead;
mod attempts;
mod backup;
mod check;
mod codec;
mod config;
mod data;
mod disk;
mod error;
mod expiry;
mod format;
mod housekeeping;
mod journal;
mod leases;
mod metrics;
mod nodes;
mod private;
mod random;
mod removed;
mod reserve;
mod room;
mod rosters;
mod row;
mod rows;
mod saved;
mod seen;
mod sessions;
mod slots;
mod store;
#[cfg(test)]
mod tests;
mod turns;
mod with;
mod writer;

pub use backup::{BackupError, restore};
pub use check::Report;
pub use config::{Config, Invalid};
pub use error::OpenError;
pub use seen::ClockGap;
pub use store::Store;
