//! Leaving: the clients of a node are sent elsewhere at a set pace, so that nobody is stormed by them.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::DrainConfig;
use crate::hub::Hub;
use crate::metrics::{Evicted, evicted};

/// The shortest pause between two lots of clients.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest one between two clients: a few need no window.
const LONGEST: Duration = Duration::from_secs(1);
/// How long those may take to leave that were told to: what they had sent is handled first.
const SETTLE: Duration = Duration::from_secs(10);

/// Lets every session of `hub` go, until `stop`: XEP-0198 sessions by their sockets alone, so that they are resumed elsewhere and
/// nobody sees them go; others are told `<system-shutdown/>` (RFC 6120 §4.9.3.20). Returns when none is left, or when who is left
/// has had its time; how many those are is the answer.
pub async fn drain(hub: &Hub, config: &DrainConfig, stop: &CancellationToken) -> usize {
    let left = send_away(hub, config, stop).await;
    if !stop.is_cancelled() {
        evicted(Evicted::Stuck, left);
    }
    left
}

async fn send_away(hub: &Hub, config: &DrainConfig, stop: &CancellationToken) -> usize {
    let mut config = config.clone();
    let mut last = None;
    loop {
        let sessions = hub.outboxes();
        if sessions.is_empty() || last.is_some_and(|last| last <= Instant::now()) {
            return sessions.len();
        }
        let pace = Pace::of(sessions.len(), &config);
        for lot in sessions.chunks(pace.lot) {
            if hub.is_empty() {
                return 0; // who left without being told needs no pace
            }
            lot.iter().for_each(|outbox| outbox.leave());
            if stop.run_until_cancelled(sleep(jitter(pace.pause))).await.is_none() {
                return hub.len();
            }
        }
        // Left are those that are not done yet, and who had signed in when the doors were closed and was bound since.
        let last = *last.get_or_insert_with(|| Instant::now() + SETTLE);
        config = DrainConfig { window: Duration::ZERO, max_rate: 0 };
        let next = (Instant::now() + PAUSE).min(last);
        if stop.run_until_cancelled(sleep_until(next)).await.is_none() {
            return hub.len();
        }
    }
}

/// How long that takes at most for so many.
pub fn longest(sessions: usize, config: &DrainConfig) -> Duration {
    let Pace { lot, pause } = Pace::of(sessions, config);
    pause * u32::try_from(sessions.div_ceil(lot)).unwrap_or(u32::MAX) + SETTLE
}

/// So many at once, and so long between them.
#[derive(Debug, PartialEq, Eq)]
struct Pace {
    lot: usize,
    pause: Duration,
}

impl Pace {
    fn of(sessions: usize, config: &DrainConfig) -> Pace {
        let slowest = match config.max_rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs(1) / rate,
        };
        let evenly = config.window / u32::try_from(sessions).unwrap_or(u32::MAX).max(1);
        let each = evenly.min(LONGEST).max(slowest);
        if each.is_zero() {
            return Pace { lot: sessions.max(1), pause: Duration::ZERO };
        }
        let lot = PAUSE.as_nanos().div_ceil(each.as_nanos()).max(1);
        let lot = u32::try_from(lot).unwrap_or(u32::MAX);
        Pace { lot: lot as usize, pause: each * lot }
    }
}

/// Between half of it and all of it, so that nodes that drain together do not send their clients in step.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte); // without it they leave in step, which is no more than a pity
    pause / 2 + pause * u32::from(byte[0]) / 512
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use starling_jid::FullJid;
    use starling_ports::ids::{Epoch, LogNumber, NodeId, SessionId};
    use starling_ports::ingress::SessionRef;

    use super::*;
    use crate::outbox::Outbox;

    fn session(number: u128) -> SessionRef {
        let jid = FullJid::new(&format!("alice@a.example/{number}")).unwrap();
        SessionRef { id: SessionId(number), jid, epoch: Epoch(1) }
    }

    fn config(window: u64, max_rate: u32) -> DrainConfig {
        DrainConfig { window: Duration::from_secs(window), max_rate }
    }

    #[test]
    fn the_window_is_kept_unless_it_is_too_fast() {
        for (sessions, config, in_all) in [
            (100, config(10, 500), 10.0),
            (50_000, config(120, 500), 120.0),
            (50_000, config(10, 500), 100.0),
            (50_000, config(10, 0), 10.0),
            (3, config(0, 0), 0.0),
            (3, config(120, 500), 3.0),
            (1000, config(0, 500), 2.0),
        ] {
            let pace = Pace::of(sessions, &config);
            let took = pace.pause.as_secs_f64() * sessions.div_ceil(pace.lot) as f64;
            assert!((took - in_all).abs() <= in_all / 50.0 + 0.03, "{sessions} by {config:?}: {took} s");
            let said = (longest(sessions, &config) - SETTLE).as_secs_f64();
            assert!((said - took).abs() < 0.001, "{sessions} by {config:?}: {said} s are said");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_session_is_told_once_and_within_the_window() {
        let hub = Hub::new(NodeId::default());
        let outboxes: Vec<Arc<Outbox>> = (0..100)
            .map(|number| {
                let outbox = Arc::new(hub.outbox(session(number), LogNumber(0)));
                hub.register(outbox.clone());
                outbox
            })
            .collect();
        let begin = tokio::time::Instant::now();
        let stop = CancellationToken::new();
        let (config, told) = (config(10, 0), |outboxes: &[Arc<Outbox>]| {
            outboxes.iter().filter(|outbox| outbox.take_leave()).count()
        });
        let mut draining = Box::pin(drain(&hub, &config, &stop));
        assert!(tokio::time::timeout(Duration::from_secs(4), &mut draining).await.is_err());
        let early = told(&outboxes);
        assert!((20..=85).contains(&early), "{early} of 100 in 4 of 10 s");
        assert!(
            tokio::time::timeout(Duration::from_secs(6), &mut draining).await.is_err(),
            "they are still here"
        );
        assert_eq!(early + told(&outboxes), 100);
        outboxes.iter().enumerate().for_each(|(number, _)| hub.unregister(&session(number as u128)));
        assert_eq!(draining.await, 0);
        assert!(begin.elapsed() < Duration::from_secs(25));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_when_all_have_left_by_themselves() {
        let hub = Hub::new(NodeId::default());
        for number in 0..100 {
            hub.register(Arc::new(hub.outbox(session(number), LogNumber(0))));
        }
        let (config, stop) = (config(120, 500), CancellationToken::new());
        let mut draining = Box::pin(drain(&hub, &config, &stop));
        assert!(tokio::time::timeout(Duration::from_secs(3), &mut draining).await.is_err());
        (0..100).for_each(|number| hub.unregister(&session(number)));
        let left = Instant::now();
        assert_eq!(draining.await, 0);
        assert!(left.elapsed() <= LONGEST * 2, "it took {:?}", left.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_leaves_is_not_waited_for_for_ever() {
        let hub = Hub::new(NodeId::default());
        hub.register(Arc::new(hub.outbox(session(1), LogNumber(0))));
        let (begin, config) = (tokio::time::Instant::now(), config(120, 500));
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let guard = metrics::set_default_local_recorder(&recorder); // the test has one thread
        assert_eq!(drain(&hub, &config, &CancellationToken::new()).await, 1);
        drop(guard);
        let text = recorder.handle().render();
        assert!(text.contains("xmpp_drain_evicted_total{result=\"stuck\"} 1\n"), "{text}");
        assert!(begin.elapsed() >= SETTLE && begin.elapsed() <= longest(1, &config) + PAUSE);
        let hurried = CancellationToken::new();
        hurried.cancel();
        let begin = tokio::time::Instant::now();
        assert_eq!(drain(&hub, &config, &hurried).await, 1);
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
