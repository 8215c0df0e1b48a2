//! How many clients the system lets in: each takes a file descriptor.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::info;

/// Descriptors that the server needs beside clients.
const OWN: u64 = 200;

/// What this process may open; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors(pub Option<u64>);

impl Descriptors {
    /// Takes as many as the system gives.
    pub fn raise() -> Descriptors {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
        Descriptors(if raised { maximum } else { current })
    }

    /// How many clients may be connected at once.
    pub fn clients(self) -> Option<u64> {
        self.0.map(|limit| limit.saturating_sub(OWN))
    }

    pub(crate) fn log(self) {
        match (self.0, self.clients()) {
            (Some(descriptors), Some(clients)) => {
                info!(descriptors, clients, "the file descriptor limit allows so many clients");
            }
            _ => info!("no file descriptor limit"),
        }
    }
}
