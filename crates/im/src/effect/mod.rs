//! What the server does on an account's behalf, at that account and at others.

mod ended;
mod presence;
mod roster;
mod seen;
mod session;
mod subscription;

pub(crate) use ended::Left;
pub(crate) use roster::Change as RosterChange;
