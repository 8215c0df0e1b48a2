//! Client sockets: TCP, TLS, WebSocket and BOSH.
#![forbid(unsafe_code)]

mod admission;
mod arrival;
mod certificate;
mod config;
mod conn;
mod descriptors;
mod drain;
mod driver;
mod error;
mod http;
mod hub;
mod listeners;
mod metrics;
mod network;
mod outbox;
mod proxy;
mod pump;
mod rate;
mod room;
mod scratch;
mod secured;
mod shared;
mod shown;
mod sock_diag;
mod socket;
mod strangers;
mod tls;
mod transport;
mod unplugged;
mod vigil;

pub use certificate::{Certificate, Refused, check_files, files_of, inspect};
pub use config::{CertificateFiles, Config, DrainConfig, HttpConfig, LimitsConfig, ListenConfig, TlsConfig};
pub use descriptors::Descriptors;
pub use drain::{drain, longest as longest_drain};
pub use error::{Error, Invalid, mend_of_bind};
pub use http::Page;
pub use hub::{HeldSession, Hub};
pub use listeners::{Kind, Listeners, Setup};
pub use network::Network;
pub use outbox::Outbox;
pub use tls::{EXPORTER_LABEL, Tls};
pub use unplugged::{Unplugged, Wire};
