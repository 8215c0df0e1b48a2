//! The wall clock of one node, or of Redis, jumps while messages flow (architecture §6, P4); its monotonic one goes on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use starling_testkit::{FakeClock, Part, Redis, WallClock, wrapped};

use crate::kit::{Kit, binary, rounds};

/// How many seconds a clock is ahead, in turn: further than a lease is long (15 s), and further than what is taken for wild (60 s).
const JUMPS: [i64; 6] = [30, -30, 3600, -3600, 180, 0];
/// Longer than a lease: whoever takes one for over does it within this time.
const LONG: Duration = Duration::from_secs(20);

/// One part has the clock of that environment, all others have the machine's.
pub(crate) fn with_clock(
    part: Part,
    clock: Vec<(&'static str, String)>,
    directory: &Path,
) -> impl Fn(Part) -> PathBuf {
    move |other| {
        if other != part {
            return binary();
        }
        wrapped(&binary(), directory, "with-clock", &clock, None).unwrap()
    }
}

async fn jump(kit: Kit, set: impl Fn(i64), rounds: usize) {
    kit.flow_of_all("at the beginning").await;
    for ahead in JUMPS.into_iter().cycle().take(rounds) {
        kit.moments.next().await;
        set(ahead);
        let long = tokio::time::sleep(LONG);
        kit.flow_of_all(&format!("with a clock {ahead} s ahead")).await;
        long.await;
        kit.flow_of_all("after more than a lease").await;
    }
    let streams = kit.end().await;
    assert!(streams.iter().all(|streams| *streams == 1), "no session was lost: {streams:?}");
}

async fn jump_of(part: Part) {
    let directory = tempfile::tempdir().unwrap();
    let clock = FakeClock::make(directory.path()).unwrap();
    let redis = Redis::start_somewhere(&directory.path().join("redis")).await.unwrap();
    let program = with_clock(part, clock.environment(), directory.path());
    let kit = Kit::start_each(format!("url = \"redis://{}/0\"", redis.address()), program).await;
    jump(kit, |ahead| clock.set(ahead).unwrap(), rounds(4)).await;
}

/// Leases and deadlines go by the time that Redis tells; so do ids, unless the two disagree by more than a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_of_a_session_router_that_jumps_is_not_noticed() {
    jump_of(Part::Router(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_of_a_connection_manager_that_jumps_is_not_noticed() {
    jump_of(Part::Manager(0)).await;
}

/// Whose time is everybody's: a lease is as long as it was, and no session is taken for one whose time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_of_redis_that_jumps_is_not_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let clock = WallClock::make(directory.path()).unwrap();
    let redis = Redis::start_in(&directory.path().join("redis"), &clock.environment()).await.unwrap();
    let kit = Kit::start_on_redis(format!("url = \"redis://{}/0\"", redis.address())).await;
    jump(kit, |ahead| clock.set(ahead).unwrap(), rounds(JUMPS.len())).await;
    clock.set(7200).unwrap();
    let told = redis.cli(&["TIME"]).await.unwrap();
    let ahead = told.lines().next().unwrap().parse::<u64>().unwrap().abs_diff(seconds());
    assert!((7190..7260).contains(&ahead), "its clock was moved: {ahead} s");
}

fn seconds() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}
