//! Every CQL statement: the tables and their versions, and what is asked of them.

mod migrate;
mod statements;
mod steps;
mod version;

pub use migrate::{Migrated, migrate};
pub(crate) use statements::{Preparing, RowStatements, Statements};
pub use steps::VERSION;
pub(crate) use version::{check, read};
