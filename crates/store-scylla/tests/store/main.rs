//! The store on a real CQL server: the suites of its ports, then what only this store promises.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod corrupt;
mod encrypted;
mod former;
mod large;
mod late;
mod migration;
mod outage;
mod paging;
mod removal;
mod server;
mod suites;
