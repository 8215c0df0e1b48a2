//! The promises of one process: kill -9 under load, and what must be there afterwards.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, and waits for its own tasks"
)]

mod acks;
mod disk;
mod rounds;
mod setup;
mod stop;
