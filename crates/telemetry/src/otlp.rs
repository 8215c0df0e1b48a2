//! Spans and metrics go to an OpenTelemetry receiver by OTLP over gRPC. Spans in batches, behind a bounded queue: nobody who ends one
//! waits for it.

mod batch;
mod figures;
mod way;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;

pub use self::batch::{Resource, Span, SpanKind, SpanValue};
use self::way::{Headers, Way};
use crate::Metrics;
use crate::metrics::{LostSpans, lost_spans, sent_spans};

/// How many spans wait at most; what comes then is lost, and counted.
const QUEUE: usize = 4096;
/// How many go at once.
const AT_ONCE: usize = 512;
/// How long the first of a batch waits for others.
const GATHERED_FOR: Duration = Duration::from_secs(1);
/// How long the receiver may take; then a batch is lost, and counted.
const WITHIN: Duration = Duration::from_secs(5);
/// The same for the last ones of a process.
const LAST_WITHIN: Duration = Duration::from_secs(2);

/// Oftener than this metrics are not sent.
const OFTEN: Duration = Duration::from_secs(1);

/// Where an OpenTelemetry receiver is, and what it gets. Nothing is sent unless `endpoint` is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// OTLP over gRPC, such as `https://otel-collector:4317`; empty: nothing is sent. By `http` it goes in the open: to an agent or collector in the
    /// same network. A user and a password are for `headers-file`.
    pub endpoint: String,
    /// The authorities of an `https` endpoint, PEM; empty: those that the system believes. Read for each connection.
    pub ca_file: PathBuf,
    /// Headers of each request, one a line: `authorization: Bearer …`. Read for each request. Only by `https`, or to this machine.
    pub headers_file: PathBuf,
    /// Which share of all stanzas is followed from socket to socket, from 0 to 1. May change on reload.
    pub sample_rate: f64,
    /// Bare JIDs: every stanza from or to one of them is followed; its spans have a hash of it. May change on reload.
    pub sample_accounts: Vec<String>,
    /// At most so many traces begin in a second, whatever else is said; 0: no limit. May change on reload.
    pub most_per_second: u64,
    /// How often all metrics are sent there; `0s`: never, and `/metrics` has them anyway.
    #[serde(with = "humantime_serde")]
    pub metrics_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: String::new(),
            ca_file: PathBuf::new(),
            headers_file: PathBuf::new(),
            sample_rate: 0.001,
            sample_accounts: Vec::new(),
            most_per_second: 100,
            metrics_every: Duration::ZERO,
        }
    }
}

/// What cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Which key.
    pub field: &'static str,
    /// What is wrong with its value.
    pub why: String,
}

impl Config {
    /// Checked before anything runs.
    pub fn check(&self) -> Result<(), Wrong> {
        if !(0.0..=1.0).contains(&self.sample_rate) {
            return Err(Wrong { field: "sample-rate", why: "must be from 0 to 1".to_owned() });
        }
        if !self.metrics_every.is_zero() && self.metrics_every < OFTEN {
            let why = "must be 0s, or 1s or more".to_owned();
            return Err(Wrong { field: "metrics-every", why });
        }
        Way::new(self).map(drop)
    }
}

/// The way to the receiver. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Exporter(mpsc::Sender<Span>);

impl Exporter {
    /// Takes a span; if there is no room it is lost.
    pub fn send(&self, span: Span) {
        if self.0.try_send(span).is_err() {
            lost_spans(LostSpans::Queue, 1);
        }
    }
}

/// Sends what it is given until `stop`, then what is left; `None` where nothing is to be sent.
pub fn start(
    config: &Config,
    resource: Resource,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Option<Exporter> {
    let way = Way::new(config).ok()??;
    let (queue, spans) = mpsc::channel(QUEUE);
    let headers = way.headers.clone();
    let receiver = Receiver { client: TraceServiceClient::new(way.connect()), headers, resource };
    tasks.spawn(run(receiver, spans, stop));
    crate::metrics::describe_spans();
    Some(Exporter(queue))
}

/// Sends all metrics again and again until `stop`, if that is wanted.
pub fn report(
    config: &Config,
    resource: Resource,
    metrics: Metrics,
    tasks: &TaskTracker,
    stop: CancellationToken,
) {
    let every = config.metrics_every;
    let Some(way) = Way::new(config).ok().flatten().filter(|_| !every.is_zero()) else { return };
    let headers = way.headers.clone();
    let mut client = MetricsServiceClient::new(way.connect());
    tasks.spawn(async move {
        let (begun, mut clock) = (nanoseconds(), tokio::time::interval(every));
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(clock.tick()).await.is_some() {
            let period = figures::Period { begun, now: nanoseconds() };
            let request = headers.with(resource.metrics(figures::metrics(&metrics.render(), period))).await;
            match stop.run_until_cancelled(timeout(WITHIN, client.export(request))).await {
                Some(Ok(Err(error))) => tracing::debug!(%error, "a receiver of metrics did not take them"),
                Some(Err(_)) => tracing::debug!("a receiver of metrics did not answer in time"),
                Some(Ok(Ok(_))) | None => {}
            }
        }
    });
}

fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Whoever takes spans.
struct Receiver {
    client: TraceServiceClient<Channel>,
    headers: Headers,
    resource: Resource,
}

async fn run(mut receiver: Receiver, mut spans: mpsc::Receiver<Span>, stop: CancellationToken) {
    let mut batch = Vec::with_capacity(AT_ONCE);
    while let Some(Some(first)) = stop.run_until_cancelled(spans.recv()).await {
        batch.push(first);
        let _ = timeout(GATHERED_FOR, stop.run_until_cancelled(gather(&mut spans, &mut batch))).await;
        receiver.send(std::mem::take(&mut batch), WITHIN).await;
    }
    while let Ok(span) = spans.try_recv() {
        batch.push(span);
    }
    if !batch.is_empty() {
        receiver.send(batch, LAST_WITHIN).await;
    }
}

/// Until the batch is full. What has come is kept if it is given up.
async fn gather(spans: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>) {
    while batch.len() < AT_ONCE {
        let Some(span) = spans.recv().await else { return };
        batch.push(span);
    }
}

impl Receiver {
    /// A batch is sent once: what a receiver does not take in time is lost, or memory would be as well.
    async fn send(&mut self, batch: Vec<Span>, within: Duration) {
        let spans = batch.len() as u64;
        let request = self.headers.with(self.resource.request(batch)).await;
        match timeout(within, self.client.export(request)).await {
            Ok(Ok(answer)) => {
                let rejected =
                    answer.into_inner().partial_success.map_or(0, |partial| partial.rejected_spans);
                let rejected = u64::try_from(rejected).unwrap_or(0).min(spans);
                lost_spans(LostSpans::Rejected, rejected);
                sent_spans(spans - rejected);
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, spans, "a receiver of spans did not take a batch");
                lost_spans(LostSpans::Receiver, spans);
            }
            Err(_) => {
                tracing::debug!(spans, "a receiver of spans did not answer in time");
                lost_spans(LostSpans::Receiver, spans);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_by_http_or_https_or_nothing() {
        let with = |endpoint: &str| Config { endpoint: endpoint.to_owned(), ..Config::default() };
        for good in [
            "",
            "http://localhost:4317",
            "http://[::1]:4317",
            "http://otel.monitoring.svc:4317",
            "https://otel",
        ] {
            assert_eq!(with(good).check(), Ok(()), "{good}");
        }
        for bad in ["localhost:4317", "https://", "http://", "http:// x", "grpc://otel"] {
            assert_eq!(with(bad).check().unwrap_err().field, "endpoint", "{bad}");
        }
        for secret in ["https://u:pw@c:4317", "https://pw@c", "http://u:pw@[::1]:4317/x", "https://u:p w@c"] {
            let wrong = with(secret).check().unwrap_err();
            assert_eq!(wrong.field, "endpoint", "{secret}");
            assert!(wrong.why.contains("otlp.headers-file") && !wrong.why.contains("pw"), "{}", wrong.why);
        }
        let every = |metrics_every| Config { metrics_every, ..Config::default() }.check();
        assert!(every(Duration::ZERO).is_ok() && every(OFTEN).is_ok());
        assert_eq!(every(Duration::from_millis(1)).unwrap_err().field, "metrics-every");
        let rate = |sample_rate| Config { sample_rate, ..Config::default() }.check();
        assert!(rate(0.0).is_ok() && rate(1.0).is_ok());
        for bad in [-0.1, 1.1, f64::NAN] {
            assert_eq!(rate(bad).unwrap_err().field, "sample-rate");
        }
    }

    #[tokio::test]
    async fn a_receiver_that_is_away_costs_nobody_a_wait() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", nobody.local_addr().unwrap()); // accepts, and never answers
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let config = Config { endpoint, ..Config::default() };
        let exporter = start(&config, Resource::default(), &tasks, stop.clone()).unwrap();
        let begun = std::time::Instant::now();
        for _ in 0..10 * QUEUE {
            exporter.send(Span::default());
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert!(exporter.0.capacity() <= AT_ONCE, "what finds no room is not kept");
        stop.cancel();
        tasks.close();
        timeout(Duration::from_secs(30), tasks.wait()).await.unwrap();
    }
}
