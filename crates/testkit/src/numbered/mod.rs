//! Clients whose messages are numbered, and the history of all that they saw.

mod archive;
mod device;
mod hosts;
mod notes;
mod sender;
mod stream;

use std::time::Duration;

pub use archive::Readers;
pub use device::{Habit, Recipient};
pub use hosts::Hosts;
pub use notes::Notes;
pub use sender::Sender;
pub use stream::{Begun, Came, Kept, Stream};

/// Nothing takes longer than this, on a busy machine either.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client that waits for an answer hears nothing until it takes its connection for dead, and goes elsewhere.
pub const SILENCE: Duration = Duration::from_secs(5);
/// How long a client waits that could not connect, as clients do.
const AGAIN: Duration = Duration::from_millis(200);
