//! Metrics: counted by the libraries under the names of their `metrics.rs`, read here as Prometheus text.

use metrics::{counter, describe_counter};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::TelemetryError;

/// Bounds of the histograms that measure time, from a fast fsync to a store that hangs.
const SECONDS: &[f64] =
    &[0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
/// Bounds of those that count what goes together.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
/// Bounds of those that measure bytes, from a request for an ack to the biggest stanza that is taken unless the configuration says more.
const BYTES: &[f64] = &[
    64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131_072.0,
    262_144.0,
];
/// By the end of a name. A histogram without bounds would be a summary, which cannot be added up over processes.
const BOUNDS: [(&str, &[f64]); 4] =
    [("_seconds", SECONDS), ("_bytes", BYTES), ("_requests", COUNTS), ("_frames", COUNTS)];

/// Everything counted in this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// The Prometheus text format.
    pub fn render(&self) -> String {
        self.0.render()
    }
    /// Folds histogram samples together; to be called every few seconds.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Begins to count. Once a process.
pub fn install() -> Result<Metrics, TelemetryError> {
    let builder = BOUNDS.iter().try_fold(PrometheusBuilder::new(), |builder, (end, bounds)| {
        builder.set_buckets_for_metric(Matcher::Suffix((*end).to_owned()), bounds)
    });
    let installed = builder.unwrap_or_default().install_recorder().map_err(|_| TelemetryError::Twice)?;
    describe_counter!("starling_log_lines_lost_total", "Log lines that came faster than they were read");
    counter!("starling_log_lines_lost_total").increment(0);
    Ok(Metrics(installed))
}

/// A log line found no room.
pub(crate) fn lost_line() {
    counter!("starling_log_lines_lost_total").increment(1);
}

/// Why spans were lost.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LostSpans {
    /// They came faster than they were sent.
    Queue,
    /// The receiver did not take them in time.
    Receiver,
    /// The receiver refused them.
    Rejected,
}

impl LostSpans {
    fn as_str(self) -> &'static str {
        match self {
            LostSpans::Queue => "queue",
            LostSpans::Receiver => "receiver",
            LostSpans::Rejected => "rejected",
        }
    }
}

/// To be said once, before spans are counted.
pub(crate) fn describe_spans() {
    describe_counter!(
        "starling_spans_sent_total",
        "Spans of followed stanzas that the OpenTelemetry receiver took"
    );
    describe_counter!(
        "starling_spans_lost_total",
        "Spans that it did not get, by reason: queue, receiver, rejected"
    );
    sent_spans(0);
    for why in [LostSpans::Queue, LostSpans::Receiver, LostSpans::Rejected] {
        lost_spans(why, 0);
    }
}

/// The receiver has these.
pub(crate) fn sent_spans(spans: u64) {
    counter!("starling_spans_sent_total").increment(spans);
}

/// The receiver does not get these.
pub(crate) fn lost_spans(why: LostSpans, spans: u64) {
    counter!("starling_spans_lost_total", "reason" => why.as_str()).increment(spans);
}
