//! The one long stream between a connection manager and a session router.

pub mod client;
mod frames;
mod limits;
pub mod server;

#[cfg(test)]
mod tests;
