//! What `/metrics` says, as OTLP says it: the same counters, gauges and histograms, under names with dots.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, Summary,
    SummaryDataPoint, summary_data_point::ValueAtQuantile,
};

use super::batch::{SpanValue, pair};

/// From when counters count, and when they were read, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    pub(super) begun: u64,
    pub(super) now: u64,
}

/// A family of the text: what it is, and its samples.
#[derive(Debug, Default)]
struct Family<'a> {
    help: &'a str,
    kind: &'a str,
    samples: Vec<Sample<'a>>,
}

/// What tells the series of a family apart.
type Labels<'a> = Vec<(&'a str, String)>;

#[derive(Debug)]
struct Sample<'a> {
    name: &'a str,
    labels: Labels<'a>,
    value: f64,
}

/// Reads the Prometheus text that this process has written itself: what cannot be read is passed over.
pub(super) fn metrics(text: &str, period: Period) -> Vec<Metric> {
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    let mut current = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            families.entry(name).or_default().help = help;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            families.entry(name).or_default().kind = kind;
            current = name;
        } else if let Some(sample) = sample(line).filter(|sample| sample.name.starts_with(current)) {
            families.entry(current).or_default().samples.push(sample);
        }
    }
    families.into_iter().filter_map(|(name, family)| metric(name, family, period)).collect()
}

fn metric(name: &str, family: Family<'_>, period: Period) -> Option<Metric> {
    if family.samples.is_empty() {
        return None;
    }
    let data = match family.kind {
        "counter" => Data::Sum(Sum {
            data_points: numbers(&family.samples, period),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
        "gauge" => Data::Gauge(Gauge { data_points: numbers(&family.samples, period) }),
        "histogram" => Data::Histogram(Histogram {
            data_points: histograms(name, &family.samples, period),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        }),
        "summary" => Data::Summary(Summary { data_points: summaries(name, &family.samples, period) }),
        _ => return None,
    };
    let (name, unit) = renamed(name);
    Some(Metric { name, unit, description: family.help.to_owned(), data: Some(data), ..Metric::default() })
}

/// OpenTelemetry's names have dots, and neither the unit nor `total`: whoever makes Prometheus's names of them adds both.
fn renamed(name: &str) -> (String, String) {
    let name = name.strip_suffix("_total").unwrap_or(name);
    let units = [("_seconds", "s"), ("_bytes", "By")];
    let found = units.into_iter().find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, unit)));
    let (name, unit) = found.unwrap_or((name, ""));
    (name.replace('_', "."), unit.to_owned())
}

fn numbers(samples: &[Sample<'_>], period: Period) -> Vec<NumberDataPoint> {
    let point = |sample: &Sample<'_>| NumberDataPoint {
        attributes: attributes(&sample.labels),
        start_time_unix_nano: period.begun,
        time_unix_nano: period.now,
        value: Some(Value::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    };
    samples.iter().map(point).collect()
}

/// Its buckets count what is not above their bound, those of OTLP what lies between two.
fn histograms(name: &str, samples: &[Sample<'_>], period: Period) -> Vec<HistogramDataPoint> {
    let mut points: Vec<(Labels<'_>, HistogramDataPoint, u64)> = Vec::new();
    for sample in samples {
        let labels: Labels<'_> = sample.labels.iter().filter(|(key, _)| *key != "le").cloned().collect();
        let at = points.iter().position(|(of, ..)| *of == labels).unwrap_or_else(|| {
            let point = HistogramDataPoint {
                attributes: attributes(&labels),
                start_time_unix_nano: period.begun,
                time_unix_nano: period.now,
                ..HistogramDataPoint::default()
            };
            points.push((labels, point, 0));
            points.len() - 1
        });
        let Some((_, point, below)) = points.get_mut(at) else { continue };
        let count = sample.value as u64; // saturates
        match sample.name.strip_prefix(name) {
            Some("_sum") => point.sum = Some(sample.value),
            Some("_count") => point.count = count,
            Some("_bucket") => {
                point.bucket_counts.push(count.saturating_sub(std::mem::replace(below, count)));
                let bound = sample.labels.iter().find(|(key, _)| *key == "le");
                let bound = bound.and_then(|(_, bound)| bound.parse::<f64>().ok());
                point.explicit_bounds.extend(bound.filter(|bound| bound.is_finite()));
            }
            _ => {}
        }
    }
    points.into_iter().map(|(_, point, _)| point).collect()
}

/// What has no buckets.
fn summaries(name: &str, samples: &[Sample<'_>], period: Period) -> Vec<SummaryDataPoint> {
    let mut points: Vec<(Labels<'_>, SummaryDataPoint)> = Vec::new();
    for sample in samples {
        let labels: Labels<'_> =
            sample.labels.iter().filter(|(key, _)| *key != "quantile").cloned().collect();
        let at = points.iter().position(|(of, _)| *of == labels).unwrap_or_else(|| {
            let point = SummaryDataPoint {
                attributes: attributes(&labels),
                start_time_unix_nano: period.begun,
                time_unix_nano: period.now,
                ..SummaryDataPoint::default()
            };
            points.push((labels, point));
            points.len() - 1
        });
        let Some((_, point)) = points.get_mut(at) else { continue };
        match sample.name.strip_prefix(name) {
            Some("_sum") => point.sum = sample.value,
            Some("_count") => point.count = sample.value as u64, // saturates
            _ => {
                let quantile = sample.labels.iter().find(|(key, _)| *key == "quantile");
                let quantile = quantile.and_then(|(_, quantile)| quantile.parse().ok());
                let value = sample.value;
                point.quantile_values.extend(quantile.map(|quantile| ValueAtQuantile { quantile, value }));
            }
        }
    }
    points.into_iter().map(|(_, point)| point).collect()
}

fn attributes(labels: &[(&str, String)]) -> Vec<KeyValue> {
    labels.iter().map(|(key, value)| pair(key, SpanValue::Text(value.clone()))).collect()
}

/// `name{label="value",…} 1.5`
fn sample(line: &str) -> Option<Sample<'_>> {
    if line.starts_with('#') {
        return None;
    }
    let (name, rest) = line.split_at_checked(line.find(['{', ' '])?)?;
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    Some(Sample { name, labels, value: value.trim().parse().ok()? })
}

/// Up to the brace that closes them, and what comes behind it.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut found = Vec::new();
    while !rest.starts_with('}') {
        let (key, quoted) = rest.trim_start_matches(',').split_once("=\"")?;
        let (mut value, mut is_escaped) = (String::new(), false);
        let end = quoted.char_indices().find(|(_, sign)| {
            let is_end = *sign == '"' && !is_escaped;
            if is_escaped {
                value.push(if *sign == 'n' { '\n' } else { *sign });
            } else if !matches!(sign, '\\' | '"') {
                value.push(*sign);
            }
            is_escaped = *sign == '\\' && !is_escaped;
            is_end
        });
        rest = quoted.get(end?.0 + 1..)?;
        found.push((key, value));
    }
    Some((found, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP xmpp_cm_accepts_total Sockets accepted
# TYPE xmpp_cm_accepts_total counter
xmpp_cm_accepts_total{listener=\"c2s\"} 3
xmpp_cm_accepts_total{listener=\"a \\\"b\\\" \\\\ }\"} 4

# TYPE xmpp_cm_connections gauge
xmpp_cm_connections 2

# HELP xmpp_ack_latency_seconds Time
# TYPE xmpp_ack_latency_seconds histogram
xmpp_ack_latency_seconds_bucket{le=\"0.1\"} 1
xmpp_ack_latency_seconds_bucket{le=\"1\"} 4
xmpp_ack_latency_seconds_bucket{le=\"+Inf\"} 5
xmpp_ack_latency_seconds_sum 7.5
xmpp_ack_latency_seconds_count 5

# TYPE xmpp_stanza_size_bytes summary
xmpp_stanza_size_bytes{kind=\"iq\",quantile=\"0.5\"} 100
xmpp_stanza_size_bytes_sum{kind=\"iq\"} 300
xmpp_stanza_size_bytes_count{kind=\"iq\"} 3
";

    fn read() -> Vec<Metric> {
        metrics(TEXT, Period { begun: 1, now: 2 })
    }

    #[test]
    fn names_have_dots_and_units_of_their_own() {
        let named: Vec<_> = read().into_iter().map(|one| (one.name, one.unit, one.description)).collect();
        let expected = [
            ("xmpp.ack.latency", "s", "Time"),
            ("xmpp.cm.accepts", "", "Sockets accepted"),
            ("xmpp.cm.connections", "", ""),
            ("xmpp.stanza.size", "By", ""),
        ];
        assert_eq!(named, expected.map(|(name, unit, help)| (name.into(), unit.into(), help.into())));
    }

    #[test]
    fn counters_count_from_the_beginning_and_gauges_do_not_count() {
        let [_, accepts, connections, _] = &read()[..] else { panic!() };
        let Some(Data::Sum(sum)) = &accepts.data else { panic!("{accepts:?}") };
        assert!(sum.is_monotonic && sum.aggregation_temporality() == AggregationTemporality::Cumulative);
        let values: Vec<_> = sum.data_points.iter().map(|point| point.value).collect();
        assert_eq!(values, [Some(Value::AsDouble(3.0)), Some(Value::AsDouble(4.0))]);
        let odd = &sum.data_points[1].attributes[0];
        assert_eq!(*odd, pair("listener", SpanValue::Text("a \"b\" \\ }".to_owned())));
        assert!(matches!(&connections.data, Some(Data::Gauge(gauge)) if gauge.data_points.len() == 1));
    }

    #[test]
    fn what_has_no_buckets_has_quantiles() {
        let Some(Data::Summary(summary)) = &read()[3].data else { panic!() };
        let [point] = &summary.data_points[..] else { panic!("{summary:?}") };
        assert_eq!((point.count, point.sum), (3, 300.0));
        assert_eq!(point.quantile_values, [ValueAtQuantile { quantile: 0.5, value: 100.0 }]);
        assert_eq!(point.attributes.len(), 1);
    }

    #[test]
    fn buckets_count_what_lies_between_two_bounds() {
        let Some(Data::Histogram(histogram)) = &read()[0].data else { panic!() };
        let [point] = &histogram.data_points[..] else { panic!("{histogram:?}") };
        assert_eq!((&point.bucket_counts[..], &point.explicit_bounds[..]), (&[1, 3, 1][..], &[0.1, 1.0][..]));
        assert_eq!((point.count, point.sum), (5, Some(7.5)));
    }
}
