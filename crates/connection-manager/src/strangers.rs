//! How many streams of one address have not signed in: only so many at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// By address; one that is not here has none.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<HashMap<IpAddr, u32>>);

/// One of them, until it signs in or goes.
#[derive(Debug)]
pub(crate) struct Stranger {
    all: Arc<Strangers>,
    peer: IpAddr,
}

impl Strangers {
    /// One more of `peer`; `None` where there are `limit` already. A limit of 0 is none.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr, limit: u32) -> Option<Stranger> {
        let mut counts = self.0.lock();
        let count = counts.entry(peer).or_default();
        if limit > 0 && *count >= limit {
            return None;
        }
        *count += 1;
        Some(Stranger { all: self.clone(), peer })
    }

    /// Whether there is none, of any address.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock();
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_and_nothing_is_left_of_who_went() {
        let all = Arc::new(Strangers::default());
        let (one, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = all.enter(one, 2);
        let second = all.enter(one, 2);
        assert!(first.is_some() && second.is_some() && all.enter(one, 2).is_none());
        assert!(all.enter(other, 2).is_some());
        assert!(all.enter(one, 0).is_some(), "no limit");
        drop(first);
        assert!(all.enter(one, 2).is_some());
        drop(second);
        assert!(all.is_empty());
    }
}
