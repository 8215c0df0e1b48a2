//! The slots of all accounts on a real Redis: the suite of the port, and what only several routers can get wrong.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "these are tests")]

mod attempts;
mod away;
mod checks;
mod cluster;
mod costs;
mod counts;
mod histories;
mod origins;
mod positions;
mod proxy;
mod routers;
mod secrets;
mod secrets_of_many;
mod sentinel;
mod server;
mod suite;
mod swaps;
mod talk;
mod torn;
mod trouble;
mod world;
mod writers;
