//! The session log as a model: its rules, the faults that they are for, and what breaks without each of them.
#![forbid(unsafe_code)]
#![expect(
    clippy::indexing_slicing,
    reason = "a model that names what is not there is wrong, and its test shall panic"
)]

mod action;
pub mod address;
mod config;
mod cut;
mod device;
mod explore;
mod invariant;
mod lane;
pub mod presence;
mod redis;
mod rule;
pub mod slot;
pub mod state;
mod theme;
mod world;

pub use action::{Action, Fault};
pub use config::{Config, Faults};
pub use cut::{Broken, CUTS, Cut};
pub use explore::{Explored, explore, explore_for};
pub use invariant::Invariant;
pub use rule::{RULES, Rule, tables, with_tables};
pub use state::State;
pub use theme::Theme;
