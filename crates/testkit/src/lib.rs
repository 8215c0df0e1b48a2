//! Stories: a server started as a process, and clients that speak to it over real sockets.
//!
//! It shares no XML or stream code with the server, so that one bug cannot hide in both.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops where it fails; only tests depend on this crate"
)]

mod bosh;
mod client;
mod cluster;
mod cql;
mod fake_clock;
mod island;
mod keyspace;
mod member;
mod memory_limit;
mod name_server;
pub mod numbered;
mod pattern;
mod process;
mod proxy;
mod redis;
mod redis_cluster;
mod runner;
mod scram;
mod sentinel;
mod server;
mod small_disk;
mod tls;
mod tree;
mod usage;
mod wall_clock;
mod websocket;
mod world;
mod wrapped;

pub use bosh::{Bosh, post};
pub use client::{Connection, Received};
pub use cluster::{Cluster, ClusterOptions, Part, free_port};
pub use cql::{Cassandra, cql_server};
pub use fake_clock::FakeClock;
pub use island::{Cut, Island};
pub use memory_limit::MemoryLimit;
pub use name_server::NameServer;
pub use pattern::matches;
pub use proxy::Proxy;
pub use redis::Redis;
pub use redis_cluster::{RedisCluster, record_of};
pub use runner::{Story, run};
pub use scram::{Hash, Scram};
pub use sentinel::Sentinels;
pub use server::{Preset, Server, ServerOptions};
pub use small_disk::SmallDisk;
pub use tls::{Secured, TlsOptions, TlsVersion};
pub use tree::Tree;
pub use usage::{Usage, excess};
pub use wall_clock::WallClock;
pub use websocket::{Frame, WebSocket, http};
pub use world::{Device, User, World};
pub use wrapped::wrapped;
