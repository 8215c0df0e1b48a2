//! The durable ports on CQL: archive, spool, positions, accounts, rosters and documents, on ScyllaDB or Apache Cassandra.
//!
//! `schema` has every statement, and `docs/adr/0012-cql-tables.md` says why the tables are as they are. One file a port.
#![forbid(unsafe_code)]

mod accounts;
mod archive;
mod block_lists;
mod client;
mod config;
mod connect;
mod documents;
mod erase;
mod error;
mod last_activities;
mod lwt;
mod metrics;
mod names;
mod positions;
mod preferences;
mod rosters;
mod schema;
mod stamps;
mod store;
mod tls;
mod values;

pub use config::{Config, Invalid, Secret, Tls};
pub use error::ConnectError;
pub use schema::{Migrated, VERSION, migrate};
pub use store::Store;
