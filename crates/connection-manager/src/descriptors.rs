//! How many clients the system lets in: each takes a file descriptor, and the server needs some of its own.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::info;

/// Descriptors that the server needs beside clients and the files of its store: listeners, the control socket, the admin listener,
/// links and stores of a cluster.
const OWN: u64 = 128;

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
        let limit = self.0?;
        Some(limit.saturating_sub(OWN + self.store() + self.door()).max(limit / 4))
    }

    /// How many files the store may keep open.
    pub fn store(self) -> u64 {
        self.part(8).clamp(32, 900)
    }

    /// How many may be at the door: accepted, but neither let in nor sent away yet.
    pub(crate) fn door(self) -> u64 {
        self.part(16).clamp(8, 64)
    }

    fn part(self, of: u64) -> u64 {
        self.0.map_or(u64::MAX, |limit| limit / of)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_to_the_server_what_it_needs() {
        for limit in [256, 1024, 4096, 20_000, 1 << 20] {
            let all = Descriptors(Some(limit));
            let (clients, store, door) = (all.clients().unwrap(), all.store(), all.door());
            assert!(clients + store + door + OWN <= limit, "{limit}: {clients} {store} {door}");
            assert!(clients >= limit / 4 && door >= 8 && store >= 32, "{limit}: {clients} {store} {door}");
        }
        assert_eq!(Descriptors(Some(1 << 20)).clients(), Some((1 << 20) - OWN - 900 - 64));
    }

    #[test]
    fn no_limit_is_none() {
        let all = Descriptors(None);
        assert_eq!((all.clients(), all.store(), all.door()), (None, 900, 64));
    }
}
