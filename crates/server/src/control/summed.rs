//! What all processes count, each by itself and all together.

use std::collections::{BTreeMap, BTreeSet};

use starling_admin::Refused;
use starling_admin::messages::{Bucket, CountsAnswer, CountsRequest, Latency, NodeCountsAnswer};

use super::cluster::Asked;
use super::{Control, counts};

impl Control {
    pub(super) async fn count_here(&self) -> CountsAnswer {
        self.gauges.freshen().await;
        counts::read(&self.metrics.render(), self.own.name(), self.since.elapsed())
    }

    pub(super) async fn count_nodes(&self) -> Result<NodeCountsAnswer, Refused> {
        let Asked { answers, missing } = self.ask_all("counts", &CountsRequest::default()).await?;
        let nodes: Vec<CountsAnswer> = answers.into_iter().map(|(_, counts)| counts).collect();
        Ok(NodeCountsAnswer {
            total: Some(nodes.iter().fold(CountsAnswer::default(), together)),
            nodes,
            missing,
        })
    }
}

fn together(sum: CountsAnswer, one: &CountsAnswer) -> CountsAnswer {
    CountsAnswer {
        node: sum.node,
        uptime_seconds: sum.uptime_seconds.max(one.uptime_seconds),
        // Every session router has counted all of them.
        sessions_attached: sum.sessions_attached.max(one.sessions_attached),
        sessions_waiting: sum.sessions_waiting.max(one.sessions_waiting),
        connections: sum.connections + one.connections,
        bound: sum.bound + one.bound,
        unacknowledged: sum.unacknowledged + one.unacknowledged,
        stanzas_received: sum.stanzas_received + one.stanzas_received,
        stanzas_sent: sum.stanzas_sent + one.stanzas_sent,
        messages: sum.messages + one.messages,
        messages_refused: sum.messages_refused + one.messages_refused,
        logins: sum.logins + one.logins,
        logins_failed: sum.logins_failed + one.logins_failed,
        clients_refused: sum.clients_refused + one.clients_refused,
        memory_bytes: sum.memory_bytes + one.memory_bytes,
        acknowledge: added(sum.acknowledge, one.acknowledge.as_ref()),
        deliver: added(sum.deliver, one.deliver.as_ref()),
    }
}

/// Two histograms with the same bounds; where a later version has others, a bound that only one of them has counts what the other
/// has below it.
fn added(sum: Option<Latency>, one: Option<&Latency>) -> Option<Latency> {
    let Some(one) = one else { return sum };
    let sum = sum.unwrap_or_default();
    // Bounds are compared as they are written: they are constants, never computed.
    let of = |latency: &Latency| -> BTreeMap<u64, u64> {
        latency.buckets.iter().map(|bucket| (bucket.up_to_seconds.to_bits(), bucket.count)).collect()
    };
    let (left, right) = (of(&sum), of(one));
    let below = |counts: &BTreeMap<u64, u64>, bound: u64| {
        counts.range(..=bound).next_back().map_or(0, |(_, count)| *count)
    };
    let bounds: BTreeSet<u64> = left.keys().chain(right.keys()).copied().collect();
    let buckets = bounds.into_iter().map(|bound| Bucket {
        up_to_seconds: f64::from_bits(bound), // of numbers above zero, which are in the order of their bits
        count: below(&left, bound) + below(&right, bound),
    });
    Some(Latency {
        count: sum.count + one.count,
        sum_seconds: sum.sum_seconds + one.sum_seconds,
        buckets: buckets.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(count: u64, buckets: &[(f64, u64)]) -> Latency {
        let bucket =
            |(up_to_seconds, count): &(f64, u64)| Bucket { up_to_seconds: *up_to_seconds, count: *count };
        Latency { count, sum_seconds: 0.5, buckets: buckets.iter().map(bucket).collect() }
    }

    #[test]
    fn counts_are_added_up_and_sessions_of_all_are_not() {
        let one = CountsAnswer {
            node: "router-0".to_owned(),
            uptime_seconds: 9,
            sessions_attached: 5,
            stanzas_sent: 2,
            acknowledge: Some(latency(4, &[(0.001, 1), (0.01, 3)])),
            ..CountsAnswer::default()
        };
        let other = CountsAnswer {
            node: "router-1".to_owned(),
            uptime_seconds: 7,
            sessions_attached: 6,
            stanzas_sent: 3,
            acknowledge: Some(latency(3, &[(0.005, 1), (0.01, 2)])),
            ..CountsAnswer::default()
        };
        let total = [one, other].iter().fold(CountsAnswer::default(), together);
        assert_eq!((&*total.node, total.uptime_seconds), ("", 9));
        assert_eq!((total.sessions_attached, total.stanzas_sent), (6, 5));
        let mut expected = latency(7, &[(0.001, 1), (0.005, 2), (0.01, 5)]);
        expected.sum_seconds = 1.0;
        assert_eq!((total.acknowledge, total.deliver), (Some(expected), None));
    }
}
