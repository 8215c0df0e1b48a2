//! The promises of a cluster: its parts are killed under load, and nobody notices.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it fails, and says how it went"
)]

mod acks;
mod away;
mod cassandra;
mod checks;
mod clocks;
mod contacts;
mod copy;
mod costs;
mod ends;
mod failover;
mod fences;
mod full;
mod ghosts;
mod kills;
mod kit;
mod late;
mod link;
mod logins;
mod loss;
mod memory;
mod moment;
mod operator;
mod partitions;
mod pauses;
mod quorum;
mod readers;
mod replies;
mod returns;
mod rolling;
mod stamps;
mod storm;
mod took;
mod versions;
