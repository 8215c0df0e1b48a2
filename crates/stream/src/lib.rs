//! The XMPP stream as a state machine without I/O (RFC 6120).
#![forbid(unsafe_code)]

mod effect;
mod error;
mod feature;
mod machine;
mod settings;

pub use effect::{Attached, Effect, Ending, Input, Output, Register};
pub use error::{StreamCondition, StreamError, TooHigh};
pub use machine::{Counts, Machine};
pub use settings::{Security, Settings};

pub mod sasl;
