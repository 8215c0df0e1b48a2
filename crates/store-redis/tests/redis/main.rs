//! The slots of all accounts on a real Redis: the suite of the port, and what only several routers can get wrong.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod server;
mod suite;
mod world;
