//! What the server does with a stanza: RFC 6121 and the XEPs.
#![forbid(unsafe_code)]

mod accounts;
mod config;
mod context;
mod domains;
mod effect;
pub mod hooks;
mod identity;
mod metrics;
mod pipeline;
pub mod rules;
mod stage;
pub mod xep;

pub use accounts::AccountError;
pub use config::{Config, Invalid, Quotas, Registration};
pub use context::{Context, Stores};
pub use domains::Domains;
pub use pipeline::{Around, Pipeline};
pub use stage::Stage;
