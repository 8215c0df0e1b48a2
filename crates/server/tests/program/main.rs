//! The program as its operators meet it: the real binary, its command line, its files, its signals.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops where it fails")]

mod admin;
mod api;
mod api_tls;
mod audit;
mod certbot;
mod certificate;
mod compose;
mod config;
mod control;
mod dead_peer;
mod descriptors;
mod doctor;
mod drain;
mod exit_codes;
mod export;
mod first_run;
mod full_disk;
mod import;
mod logs;
mod nodes;
mod places;
mod quickstart;
mod receiver;
mod reload;
mod renewal;
mod starling;
mod stop;
mod store;
mod traces;
mod unit;
mod waiting;
