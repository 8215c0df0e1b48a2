//! The program as its operators meet it: the real binary, its command line, its files, its signals.

mod admin;
mod config;
mod control;
mod doctor;
mod first_run;
mod logs;
mod quickstart;
mod reload;
mod starling;
mod stop;
mod store;
mod unit;
