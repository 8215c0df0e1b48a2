//! The places of a listener: where all are taken, a connection that has shown no token makes way for whoever comes.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::metrics;

/// How many connections there may be: each takes one of the descriptors that clients do not get.
pub(crate) const AT_ONCE: usize = 32;
/// How long a handshake, and the head of a request, may take.
pub const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// A connection is left alone for so long, that who has something to ask can do it.
const YOUNG: Duration = Duration::from_millis(20);

/// The places of one listener.
#[derive(Debug)]
pub struct Places {
    listener: &'static str,
    free: Arc<Semaphore>,
    taken: Mutex<Vec<Arc<Seat>>>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    seat: Arc<Seat>,
    /// `None` never: the places are not closed.
    _free: Option<OwnedSemaphorePermit>,
}

/// What a connection has done so far.
#[derive(Debug)]
pub struct Seat {
    network: IpAddr,
    since: Instant,
    has_asked: AtomicBool,
    has_token: AtomicBool,
    under_way: AtomicUsize,
    end: CancellationToken,
}

/// A request with a token that is known, until it is answered.
pub(crate) struct Answering<'a>(&'a Seat);

impl Places {
    /// Of the listener that metrics call so.
    pub fn new(listener: &'static str) -> Arc<Places> {
        metrics::describe_places(listener);
        Arc::new(Places { listener, free: Arc::new(Semaphore::new(AT_ONCE)), taken: Mutex::default() })
    }

    /// A place for whoever comes from there. Waits only while every connection is new, or is being answered and has a token.
    pub async fn take(self: &Arc<Self>, from: IpAddr) -> Place {
        let free = match self.free.clone().try_acquire_owned() {
            Ok(free) => Some(free),
            Err(_) => self.make_way().await,
        };
        let seat = Arc::new(Seat {
            network: network(from),
            since: Instant::now(),
            has_asked: AtomicBool::new(false),
            has_token: AtomicBool::new(false),
            under_way: AtomicUsize::new(0),
            end: CancellationToken::new(),
        });
        self.taken.lock().push(seat.clone());
        Place { places: self.clone(), seat, _free: free }
    }

    async fn make_way(&self) -> Option<OwnedSemaphorePermit> {
        let next = self.free.clone().acquire_owned();
        tokio::pin!(next);
        let one = self.to_go();
        if let Some(one) = one {
            if let Ok(free) = timeout_at(one.since + YOUNG, next.as_mut()).await {
                return free.ok();
            }
            metrics::made_way(self.listener);
            one.end.cancel();
        }
        next.await.ok()
    }

    /// The oldest of the network that has most, of those that have shown no token; where these are few, of those with one that ask nothing.
    fn to_go(&self) -> Option<Arc<Seat>> {
        let taken = self.taken.lock();
        let (known, strange): (Vec<&Arc<Seat>>, Vec<&Arc<Seat>>) = taken
            .iter()
            .filter(|seat| !seat.end.is_cancelled())
            .partition(|seat| seat.has_token.load(Ordering::Relaxed));
        let idle: Vec<&Arc<Seat>> =
            known.into_iter().filter(|seat| seat.under_way.load(Ordering::Relaxed) == 0).collect();
        let among = if strange.len() < AT_ONCE / 2 && !idle.is_empty() { idle } else { strange };
        let of = |network: IpAddr| among.iter().filter(|seat| seat.network == network).count();
        // `min_by_key` takes the first of equals, and they stand in the order in which they came.
        among.iter().min_by_key(|seat| usize::MAX - of(seat.network)).map(|seat| Arc::clone(seat))
    }
}

impl Place {
    /// What the connection is to say of itself.
    pub fn seat(&self) -> Arc<Seat> {
        self.seat.clone()
    }

    /// Serves the connection, until it ends, has not asked anything in time, or makes way.
    pub async fn hold(self, serving: impl Future<Output = ()>) {
        let seat = self.seat.clone();
        let silent = async {
            sleep(HEAD_WITHIN).await;
            if seat.has_asked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = serving => {}
            () = silent => {}
            () = self.seat.end.cancelled() => {}
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().retain(|one| !Arc::ptr_eq(one, &self.seat));
    }
}

impl Seat {
    /// The head of a request is there.
    pub fn asks(&self) {
        self.has_asked.store(true, Ordering::Relaxed);
    }

    /// And it has a token that is known.
    pub(crate) fn is_known(&self) -> Answering<'_> {
        self.has_token.store(true, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Answering(self)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whoever has one address of IPv6 has a /64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    fn address(last: usize) -> IpAddr {
        format!("192.0.2.{last}").parse().unwrap()
    }

    async fn full(of: impl Fn(usize) -> IpAddr) -> (Arc<Places>, Vec<Place>) {
        let places = Places::new("test");
        let mut taken = Vec::new();
        for number in 0..AT_ONCE {
            taken.push(places.take(of(number)).await);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        (places, taken)
    }

    /// Those that were told to end do it, and which these are.
    fn ended(taken: &mut Vec<Place>) -> Vec<IpAddr> {
        let gone = taken.extract_if(.., |one| one.seat.end.is_cancelled());
        gone.map(|one| one.seat.network).collect()
    }

    /// Who comes gets in as soon as one has ended, and this one did.
    async fn comes(places: &Arc<Places>, taken: &mut Vec<Place>, from: IpAddr) -> Vec<IpAddr> {
        let taking = places.take(from);
        tokio::pin!(taking);
        assert!(timeout(YOUNG, taking.as_mut()).await.is_err(), "nobody had to go");
        let gone = ended(taken);
        taken.push(taking.await);
        gone
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_the_network_that_has_most_makes_way() {
        let (places, mut taken) = full(|number| address(if number < 2 { number } else { 9 })).await;
        assert_eq!(comes(&places, &mut taken, address(3)).await, [address(9)]);
        let first = taken.iter().map(|one| one.seat.network).take(3).collect::<Vec<_>>();
        assert_eq!(first, [address(0), address(1), address(9)], "who is alone stays");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_token_stays_before_strangers_and_while_it_is_answered() {
        let (places, mut taken) = full(address).await;
        let known: Vec<Arc<Seat>> = taken.iter().take(20).map(Place::seat).collect();
        let mut answering: Vec<_> = known.iter().map(|seat| seat.is_known()).collect();
        assert_eq!(comes(&places, &mut taken, address(99)).await, [address(20)]);
        answering.remove(0);
        assert_eq!(comes(&places, &mut taken, address(99)).await, [address(0)], "it asks nothing");
        let all: Vec<Arc<Seat>> = taken.iter().map(Place::seat).collect();
        let _all: Vec<_> = all.iter().map(|seat| seat.is_known()).collect();
        let waits = timeout(Duration::from_secs(1), places.take(address(100))).await;
        assert!(waits.is_err() && ended(&mut taken).is_empty(), "what is under way is not broken off");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_nothing_in_time_ends() {
        let places = Places::new("test");
        let silent = places.take(address(1)).await.hold(std::future::pending());
        timeout(HEAD_WITHIN + Duration::from_millis(1), silent).await.unwrap();
        let place = places.take(address(1)).await;
        place.seat().asks();
        assert!(timeout(HEAD_WITHIN * 2, place.hold(std::future::pending())).await.is_err());
        assert!(places.taken.lock().is_empty() && places.free.available_permits() == AT_ONCE);
    }

    #[test]
    fn a_network_of_ipv6_is_a_64() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
