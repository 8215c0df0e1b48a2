//! Administration: one set of commands behind gRPC, REST and a console, on a listener of its own.
#![forbid(unsafe_code)]

mod audit;
mod client;
mod commands;
mod config;
mod console;
mod describe;
mod doors;
mod guard;
mod hosts;
mod listener;
mod metrics;
mod openapi;
mod page;
mod pb;
mod places;
mod refused;
mod rest;
mod route;
mod token;

pub use client::{Client, ClientError};
pub use commands::{Administration, COMMANDS, Command, MOST_LISTED, Request};
pub use config::{Config, Invalid, TokenConfig};
pub use doors::{Caller, Doors};
pub use guard::Guard;
pub use listener::{Bound, bind};
pub use openapi::document;
pub use page::markdown;
pub use places::{HEAD_WITHIN, Place, Places, Seat};
pub use refused::Refused;
pub use route::Method;
pub use token::{Role, hash, is_name, new_token};

/// Requests and answers of the commands.
pub mod messages {
    pub use crate::pb::*;
}
