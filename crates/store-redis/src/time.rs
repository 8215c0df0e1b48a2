//! The time that all routers share: Redis's, carried on by the monotonic clock, so that no wall clock that jumps moves a lease.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use starling_ports::clock::Clock;
use starling_ports::ids::Timestamp;

/// How far Redis's clock may be from ours, or from where it was, before it is not believed (session log §1).
const WILD: u64 = 60_000_000;
/// A jump by more may be longer than what is left of a lease.
const JUMP: u64 = 5_000_000;

pub(crate) struct SharedTime {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// What the time was, and when.
    time: u64,
    at: Instant,
    origin: Origin,
    /// Redis and this router disagree on what the time is, or was: ids go on without a clock.
    is_wild: bool,
    /// How often it was moved by so much that leases may seem to be over which are not.
    jumps: u64,
}

/// Whose time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Redis has told nothing yet.
    Unknown,
    /// Redis's.
    Redis,
    /// This machine's: from the start Redis's was too far from it, and which of them is wrong is not known here.
    Own,
}

impl SharedTime {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> SharedTime {
        let time = clock.now().0;
        let state = State { time, at: Instant::now(), origin: Origin::Unknown, is_wild: false, jumps: 0 };
        SharedTime { clock, state: Mutex::new(state) }
    }

    /// Redis has told its time.
    pub(crate) fn told(&self, redis: u64) {
        let (wall, now) = (self.clock.now().0, Instant::now());
        let mut state = self.state.lock();
        let was_wild = state.is_wild;
        state.told(redis, wall, now);
        if state.is_wild && !was_wild {
            let (ahead_us, time_us) = (i128::from(redis) - i128::from(wall), state.time);
            drop(state);
            tracing::error!(
                ahead_us,
                time_us,
                "redis and this router disagree on the time by more than a minute; ids go on without a clock"
            );
        }
    }

    /// The time as all routers see it, and what ids are not below.
    pub(crate) fn times(&self) -> (Timestamp, Timestamp) {
        let (wall, state) = (self.clock.now().0, *self.state.lock());
        let now = Timestamp(state.now(wall, Instant::now()));
        (now, if state.is_wild { Timestamp(0) } else { now })
    }

    /// A time by our clock, as all routers see it.
    pub(crate) fn shared(&self, ours: Timestamp) -> Timestamp {
        let ahead = i128::from(ours.0) - i128::from(self.clock.now().0);
        Timestamp(u64::try_from(i128::from(self.times().0.0) + ahead).unwrap_or_default())
    }

    /// Changes whenever the time was moved. `None`: whether others' leases are over is not to be judged by it.
    pub(crate) fn jumps(&self) -> Option<u64> {
        let state = self.state.lock();
        (state.origin != Origin::Own).then_some(state.jumps)
    }
}

impl Clock for SharedTime {
    fn now(&self) -> Timestamp {
        self.times().0
    }
}

impl State {
    fn now(&self, wall: u64, now: Instant) -> u64 {
        if self.origin == Origin::Unknown {
            return wall;
        }
        let since = now.saturating_duration_since(self.at).as_micros();
        self.time.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// What Redis says holds if it agrees with what the time was, or with our own clock: a machine that slept has only the latter.
    /// Otherwise the time goes on as it was, as it does at all routers that knew it.
    fn told(&mut self, redis: u64, wall: u64, now: Instant) {
        let off = redis.abs_diff(self.now(wall, now));
        if off <= WILD || redis.abs_diff(wall) <= WILD {
            self.jumps += u64::from(self.origin != Origin::Unknown && off > JUMP);
            (self.time, self.at, self.origin) = (redis, now, Origin::Redis);
        } else if self.origin == Origin::Unknown {
            (self.time, self.at, self.origin) = (wall, now, Origin::Own);
        }
        self.is_wild = redis.abs_diff(self.now(wall, now)).max(redis.abs_diff(wall)) > WILD;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: u64 = 1_000_000;
    const NOON: u64 = 1_800_000_000 * SECOND;
    const HOUR: u64 = 3600 * SECOND;

    /// Redis told noon, and so did the wall.
    fn at_noon() -> (State, Instant) {
        let noon = Instant::now();
        let mut state = State { time: 0, at: noon, origin: Origin::Unknown, is_wild: false, jumps: 0 };
        state.told(NOON, NOON, noon);
        (state, noon)
    }

    #[test]
    fn a_wall_clock_that_jumps_moves_nothing() {
        let (mut state, noon) = at_noon();
        let later = noon + Duration::from_secs(1);
        assert_eq!(state.now(NOON + HOUR, later), NOON + SECOND);
        state.told(NOON + SECOND, NOON + HOUR, later);
        assert_eq!((state.now(NOON + HOUR, later), state.jumps, state.is_wild), (NOON + SECOND, 0, true));
    }

    #[test]
    fn a_redis_whose_clock_jumps_a_little_is_followed_and_leases_are_watched_anew() {
        let (mut state, noon) = at_noon();
        state.told(NOON + 3 * SECOND, NOON, noon);
        assert_eq!((state.now(NOON, noon), state.jumps), (NOON + 3 * SECOND, 0), "it was slow to answer");
        state.told(NOON + 33 * SECOND, NOON, noon);
        assert_eq!((state.now(NOON, noon), state.jumps, state.is_wild), (NOON + 33 * SECOND, 1, false));
    }

    #[test]
    fn a_redis_whose_clock_is_wild_is_not_followed_until_it_is_right_again() {
        let (mut state, noon) = at_noon();
        let later = noon + Duration::from_secs(9);
        state.told(NOON + HOUR, NOON, noon);
        assert_eq!((state.now(NOON, later), state.jumps, state.is_wild), (NOON + 9 * SECOND, 0, true));
        state.told(NOON + 9 * SECOND, NOON + 9 * SECOND, later);
        assert_eq!((state.now(NOON, later), state.jumps, state.is_wild), (NOON + 9 * SECOND, 0, false));
    }

    #[test]
    fn a_machine_that_slept_is_told_the_time() {
        let (mut state, noon) = at_noon();
        state.told(NOON + HOUR, NOON + HOUR, noon);
        assert_eq!((state.now(NOON, noon), state.jumps, state.is_wild), (NOON + HOUR, 1, false));
    }

    #[test]
    fn a_router_that_disagrees_from_the_start_judges_no_lease_until_it_agrees() {
        let noon = Instant::now();
        let mut state = State { time: 0, at: noon, origin: Origin::Unknown, is_wild: false, jumps: 0 };
        state.told(NOON, NOON + HOUR, noon);
        assert_eq!((state.now(0, noon), state.origin, state.is_wild), (NOON + HOUR, Origin::Own, true));
        state.told(NOON, NOON, noon); // its clock was set
        assert_eq!((state.now(0, noon), state.origin), (NOON, Origin::Redis));
        assert_eq!((state.jumps, state.is_wild), (1, false));
    }
}
