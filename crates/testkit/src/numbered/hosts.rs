//! Where clients connect: as to a name with several addresses, one after another.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The addresses of one service; they may change while clients are there.
#[derive(Debug, Clone)]
pub struct Hosts(Arc<Mutex<Vec<SocketAddr>>>);

impl Hosts {
    /// These addresses, at least one.
    pub fn new(addresses: Vec<SocketAddr>) -> Hosts {
        assert!(!addresses.is_empty(), "a service has an address");
        Hosts(Arc::new(Mutex::new(addresses)))
    }

    /// The address at `place`, counted round and round.
    pub fn nth(&self, place: usize) -> SocketAddr {
        let addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.iter().copied().cycle().nth(place % addresses.len()).unwrap()
    }

    /// What stood at `place` has another address now.
    pub fn moved(&self, place: usize, address: SocketAddr) {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *addresses.get_mut(place).unwrap() = address;
    }

    /// Where a client begins: not all at the same place, and the same client always at the same.
    pub fn first_for(&self, name: &str) -> usize {
        name.bytes().map(usize::from).sum()
    }
}
