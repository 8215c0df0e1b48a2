//! How many accounts one address has made within the hour (XEP-0077 §3.1 leaves the limit to the server).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use starling_ports::attempts::network;
use starling_ports::ids::Timestamp;

const HOUR: Duration = Duration::from_secs(3600);
/// Addresses that are remembered. Who comes when there is no room is told to come back.
const MAX_ADDRESSES: usize = 65_536;

/// Counts by address.
#[derive(Debug, Default)]
pub(super) struct Registrar {
    made: Mutex<HashMap<IpAddr, Made>>,
}

/// The hour that began with the first of them.
#[derive(Debug, Clone, Copy)]
struct Made {
    since: Timestamp,
    count: u32,
}

impl Registrar {
    /// Takes one of `limit` places; 0 is no limit. `false` if all are taken.
    pub(super) fn take(&self, peer: IpAddr, limit: u32, now: Timestamp) -> bool {
        if limit == 0 {
            return true;
        }
        let mut made = self.made.lock();
        let is_over = |one: &Made| now.since(one.since) >= HOUR || now < one.since;
        if made.len() >= MAX_ADDRESSES {
            made.retain(|_, one| !is_over(one));
        }
        let peer = network(peer);
        if made.len() >= MAX_ADDRESSES && !made.contains_key(&peer) {
            return false;
        }
        let one = made.entry(peer).or_insert(Made { since: now, count: 0 });
        if is_over(one) {
            *one = Made { since: now, count: 0 };
        }
        let has_place = one.count < limit;
        one.count += u32::from(has_place);
        has_place
    }

    /// Gives a place back: no account was made.
    pub(super) fn give_back(&self, peer: IpAddr) {
        if let Some(one) = self.made.lock().get_mut(&network(peer)) {
            one.count = one.count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_places_an_hour() {
        let (registrar, begin) = (Registrar::default(), Timestamp(0));
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        assert!(registrar.take(one, 2, begin) && registrar.take(one, 2, begin));
        assert!(!registrar.take(one, 2, begin));
        assert!(registrar.take(other, 2, begin));
        registrar.give_back(one);
        assert!(registrar.take(one, 2, begin));
        let later = begin.after(HOUR);
        assert!(registrar.take(one, 2, later) && registrar.take(one, 2, later));
        assert!(!registrar.take(one, 2, later));
    }

    #[test]
    fn a_network_of_one_customer_counts_as_one() {
        let (registrar, now) = (Registrar::default(), Timestamp(0));
        assert!(registrar.take(ip("2001:db8::1"), 1, now));
        assert!(!registrar.take(ip("2001:db8::ffff:2"), 1, now));
        assert!(registrar.take(ip("2001:db8:0:1::1"), 1, now));
        assert!(registrar.take(ip("::ffff:192.0.2.1"), 1, now));
        assert!(!registrar.take(ip("192.0.2.1"), 1, now));
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let registrar = Registrar::default();
        assert!((0..100).all(|_| registrar.take(ip("192.0.2.1"), 0, Timestamp(0))));
    }

    #[test]
    fn a_clock_that_goes_back_begins_a_new_hour() {
        let registrar = Registrar::default();
        assert!(registrar.take(ip("192.0.2.1"), 1, Timestamp(7)));
        assert!(registrar.take(ip("192.0.2.1"), 1, Timestamp(6)));
    }
}
