//! The traits between all parts of the server, and the suites that every implementation passes.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod archive;
pub mod attempts;
pub mod authentication;
pub mod blocklist;
pub mod budget;
pub mod clock;
pub mod delivery;
pub mod documents;
mod error;
pub mod ids;
pub mod ingress;
pub mod last_activity;
pub mod nodes;
pub mod position;
pub mod preferences;
pub mod roster;
pub mod sessions;
#[cfg(feature = "testsuite")]
pub mod suite;
pub mod trace;
pub mod trail;

pub use error::{BoxError, Result, StoreError};
