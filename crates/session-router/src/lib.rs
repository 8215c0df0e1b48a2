//! Which sessions get a stanza, and where they are: decide, commit, store, deliver.
#![forbid(unsafe_code)]

mod backoff;
mod commit;
mod dispatch;
mod exchanges;
mod expire;
mod login;
mod metrics;
mod plan;
mod pull;
mod traced;

pub use commit::{Item, Routed, Router};
pub use dispatch::render;
pub use expire::sweep;
pub use login::{ITERATIONS, Login};
pub use plan::Plan;
