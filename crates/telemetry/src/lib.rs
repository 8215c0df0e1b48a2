//! Set-up of logs, metrics and traces: libraries only use `tracing` and `metrics`, what becomes of it is decided here.
#![forbid(unsafe_code)]

mod lines;
mod log;
mod metrics;
pub mod otlp;

pub use log::{Config, Flush, Format, LogHandle, TelemetryError, init, parts};
pub use metrics::{Metrics, install};
