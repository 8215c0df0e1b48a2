//! The one long stream between a connection manager and a session router.

pub mod client;
mod frames;
pub(crate) mod limits;
pub mod server;

#[cfg(test)]
mod tests;
