//! The figures of `/metrics` that an administrator looks at first: read from the same text, so that the two cannot differ.

use std::time::Duration;

use starling_admin::messages::{Bucket, CountsAnswer, Latency};

/// What the text says, for the answer about this process.
pub(super) fn read(text: &str, node: &str, uptime: Duration) -> CountsAnswer {
    let samples: Vec<Sample<'_>> = text.lines().filter_map(Sample::read).collect();
    let sum = |name: &str, label: &str, is: &dyn Fn(&str) -> bool| {
        let of = samples.iter().filter(|one| one.name == name);
        let of = of.filter(|one| label.is_empty() || one.label(label).is_some_and(is));
        of.map(|one| one.value).sum::<f64>() as u64
    };
    let all = |name: &str| sum(name, "", &|_| true);
    let only = |name: &str, label: &str, value: &str| sum(name, label, &|one| one == value);
    let but = |name: &str, label: &str, value: &str| sum(name, label, &|one| one != value);
    CountsAnswer {
        node: node.to_owned(),
        uptime_seconds: uptime.as_secs(),
        connections: all("xmpp_cm_connections"),
        bound: only("xmpp_cm_streams", "state", "bound"),
        sessions_attached: only("xmpp_sessions", "state", "attached"),
        sessions_waiting: only("xmpp_sessions", "state", "waiting"),
        unacknowledged: all("xmpp_sm_unacked"),
        stanzas_received: all("xmpp_stanza_received_total"),
        stanzas_sent: all("xmpp_stanza_sent_total"),
        messages: but("xmpp_message_outcome_total", "outcome", "refused"),
        messages_refused: only("xmpp_message_outcome_total", "outcome", "refused"),
        logins: only("xmpp_auth_attempts_total", "result", "success"),
        logins_failed: but("xmpp_auth_attempts_total", "result", "success"),
        clients_refused: all("xmpp_cm_rejects_total"),
        memory_bytes: all("process_resident_memory_bytes"),
        acknowledge: Some(latency(&samples, "xmpp_ack_latency_seconds", |_| true)),
        deliver: Some(latency(&samples, "xmpp_message_delivery_duration_seconds", is_live)),
    }
}

/// Messages that waited for their receiver say nothing of the server's pace: alerts and dashboards leave them out, too.
fn is_live(sample: &Sample<'_>) -> bool {
    sample.label("path") == Some("live")
}

/// Of these samples, over all labels but that of the bucket.
fn latency(samples: &[Sample<'_>], name: &str, is_meant: fn(&Sample<'_>) -> bool) -> Latency {
    let mut latency = Latency::default();
    for one in samples.iter().filter(|one| is_meant(one)) {
        match one.name.strip_prefix(name) {
            Some("_count") => latency.count += one.value as u64,
            Some("_sum") => latency.sum_seconds += one.value,
            Some("_bucket") => {
                let Some(up_to_seconds) = one.label("le").and_then(|le| le.parse::<f64>().ok()) else {
                    continue;
                };
                if !up_to_seconds.is_finite() {
                    continue; // that is the count
                }
                let known = latency.buckets.iter_mut().find(|known| known.up_to_seconds == up_to_seconds);
                match known {
                    Some(known) => known.count += one.value as u64,
                    None => latency.buckets.push(Bucket { up_to_seconds, count: one.value as u64 }),
                }
            }
            _ => {}
        }
    }
    latency.buckets.sort_by(|one, other| one.up_to_seconds.total_cmp(&other.up_to_seconds));
    latency
}

/// A line of the Prometheus text format.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    fn read(line: &'a str) -> Option<Sample<'a>> {
        if line.starts_with('#') {
            return None;
        }
        let (what, value) = line.rsplit_once(' ')?;
        let (name, labels) = what.split_once('{').unwrap_or((what, ""));
        Some(Sample { name, labels: labels.trim_end_matches('}'), value: value.parse().ok()? })
    }

    /// Our labels come from enums, so no value has a comma or a quote.
    fn label(&self, name: &str) -> Option<&'a str> {
        let pairs = self.labels.split(',').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(one, _)| *one == name).map(|(_, value)| value.trim_matches('"'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP xmpp_cm_connections x
xmpp_cm_connections{listener=\"c2s\"} 3
xmpp_cm_connections{listener=\"plain\"} 2
xmpp_cm_streams{state=\"bound\"} 4
xmpp_message_outcome_total{outcome=\"kept\"} 10
xmpp_message_outcome_total{outcome=\"passed\"} 5
xmpp_message_outcome_total{outcome=\"refused\"} 1
xmpp_auth_attempts_total{mechanism=\"PLAIN\",result=\"success\"} 2
xmpp_auth_attempts_total{mechanism=\"PLAIN\",result=\"failure\"} 7
xmpp_message_delivery_duration_seconds_bucket{path=\"live\",le=\"0.001\"} 4
xmpp_message_delivery_duration_seconds_bucket{path=\"live\",le=\"0.0002\"} 1
xmpp_message_delivery_duration_seconds_bucket{path=\"live\",le=\"+Inf\"} 5
xmpp_message_delivery_duration_seconds_bucket{path=\"pulled\",le=\"0.001\"} 2
xmpp_message_delivery_duration_seconds_sum{path=\"live\"} 0.5
xmpp_message_delivery_duration_seconds_count{path=\"live\"} 5
xmpp_message_delivery_duration_seconds_count{path=\"pulled\"} 2
";

    #[test]
    fn series_are_added_up_by_what_they_are_of() {
        let counts = read(TEXT, "one", Duration::from_secs(7));
        assert_eq!(
            (counts.connections, counts.bound, counts.messages, counts.messages_refused),
            (5, 4, 15, 1)
        );
        assert_eq!((counts.logins, counts.logins_failed, counts.uptime_seconds), (2, 7, 7));
        assert_eq!(counts.acknowledge, Some(Latency::default()));
        let buckets = [(0.0002, 1), (0.001, 4)].map(|(up_to_seconds, count)| Bucket { up_to_seconds, count });
        let deliver = Latency { count: 5, sum_seconds: 0.5, buckets: buckets.to_vec() };
        assert_eq!(counts.deliver, Some(deliver));
    }
}
