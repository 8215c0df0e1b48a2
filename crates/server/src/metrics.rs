//! What is measured of the process as a whole. The only place that names these metrics.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{counter, describe_counter, describe_gauge, gauge};
use parking_lot::Mutex;
use starling_connection_manager::{Hub, Tls};
use starling_im::Pipeline;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How often it is looked at: what Prometheus asks for is never older.
const EVERY: Duration = Duration::from_secs(10);
/// What an administrator asks for is never older; however many ask, it is counted no more often.
const FRESH: Duration = Duration::from_secs(1);
/// How long somebody who asks waits for the store of sessions; then the last count has to do.
const COUNTED_WITHIN: Duration = Duration::from_secs(1);

/// What is counted by looking at it, not as it happens.
pub(crate) struct Gauges {
    /// Where sessions are decided about.
    pipeline: Option<Arc<Pipeline>>,
    hub: Option<Arc<Hub>>,
    looked: Mutex<Option<Instant>>,
}

impl Gauges {
    pub(crate) fn new(pipeline: Option<Arc<Pipeline>>, hub: Option<Arc<Hub>>) -> Arc<Gauges> {
        Arc::new(Gauges { pipeline, hub, looked: Mutex::default() })
    }

    /// Looks again and again until `stop`.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        describe();
        gauge!("starling_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!("process_start_time_seconds").set(seconds(SystemTime::now()));
        let mut clock = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = clock.tick() => {}
            }
            process();
            runtime();
            if let Some(hub) = &self.hub {
                let (stanzas, bytes) = hub.waiting();
                gauge!("xmpp_outbound_queue_stanzas").set(stanzas as f64);
                gauge!("xmpp_outbound_queue_bytes").set(bytes as f64);
                gauge!("xmpp_cm_kept_bytes").set(hub.kept() as f64);
            }
            self.sessions().await;
        }
    }

    /// Looks at what the console shows, unless that was a moment ago.
    pub(crate) async fn freshen(&self) {
        {
            let mut looked = self.looked.lock();
            if looked.is_some_and(|at| at.elapsed() < FRESH) {
                return;
            }
            *looked = Some(Instant::now());
        }
        memory();
        let _is_late = timeout(COUNTED_WITHIN, self.sessions()).await;
    }

    async fn sessions(&self) {
        let Some(pipeline) = &self.pipeline else { return };
        if let Ok(counted) = pipeline.context().count_sessions().await {
            gauge!("xmpp_sessions", "state" => "attached").set(counted.attached as f64);
            gauge!("xmpp_sessions", "state" => "waiting").set(counted.waiting as f64);
            gauge!("xmpp_sm_unacked").set(counted.unacknowledged as f64);
        }
    }
}

/// Until when the certificates hold that this process shows; to be said again when they change.
pub(crate) fn certificates(tls: &Tls) {
    describe_gauge!(
        "tls_cert_expiry_seconds",
        "When the certificate that is shown for a domain expires, in seconds since 1970"
    );
    for (domain, until) in tls.expiries() {
        gauge!("tls_cert_expiry_seconds", "domain" => domain).set(seconds(until));
    }
}

/// Nothing is shown for these any more. A series cannot be taken back: no alert compares with what is no number.
pub(crate) fn no_certificates(domains: impl Iterator<Item = String>) {
    for domain in domains {
        gauge!("tls_cert_expiry_seconds", "domain" => domain).set(f64::NAN);
    }
}

/// How far a drain has come: 0 where none is, 1 while it goes on, 2 when it is done; and what is left of what it sends elsewhere.
pub(crate) fn drain(state: u8, sessions: Option<usize>, links: Option<usize>) {
    gauge!("starling_drain_state").set(f64::from(state));
    for (what, left) in [("sessions", sessions), ("links", links)] {
        if let Some(left) = left {
            let left = if state == 0 { 0 } else { left };
            gauge!("starling_drain_left", "what" => what).set(left as f64);
        }
    }
}

fn describe() {
    describe_gauge!(
        "starling_drain_state",
        "Whether the process drains: 0 it does not, 1 it does, 2 it has, and takes nobody new"
    );
    describe_gauge!(
        "starling_drain_left",
        "Sessions of a connection manager, or links of a session router, that a drain has not sent elsewhere; 0 where none is"
    );
    describe_gauge!("starling_build_info", "Always 1; the version is a label");
    describe_gauge!(
        "xmpp_sessions",
        "Sessions that a socket holds (attached) or that wait to be resumed (waiting)"
    );
    describe_gauge!(
        "xmpp_sm_unacked",
        "Stanzas that were sent and not acknowledged, in the logs of all sessions"
    );
    describe_gauge!(
        "xmpp_outbound_queue_stanzas",
        "Stanzas that wait in this process until their clients have read what came before"
    );
    describe_gauge!("xmpp_outbound_queue_bytes", "Bytes of the stanzas that wait so");
    describe_gauge!(
        "xmpp_cm_kept_bytes",
        "What a connection manager keeps for its clients: not written yet, or, where it is a process of a cluster, not acknowledged"
    );
    describe_gauge!("process_start_time_seconds", "When the process began, in seconds since 1970");
    describe_gauge!("process_resident_memory_bytes", "Memory of the process");
    describe_gauge!("process_open_fds", "File descriptors of the process");
    describe_counter!("tokio_busy_seconds_total", "Whole seconds that all worker threads together were busy");
    describe_gauge!("tokio_workers", "Worker threads");
    describe_gauge!("tokio_alive_tasks", "Tasks that have not ended");
    describe_gauge!("tokio_global_queue_depth", "Tasks that wait for a worker thread");
    describe_counter!("process_cpu_seconds_total", "Whole seconds of CPU time that the process has used");
}

/// The threads that do all the work: how busy they were, and what waits for them.
fn runtime() {
    let runtime = tokio::runtime::Handle::current().metrics();
    let busy: Duration = (0..runtime.num_workers()).map(|n| runtime.worker_total_busy_duration(n)).sum();
    counter!("tokio_busy_seconds_total").absolute(busy.as_secs());
    gauge!("tokio_workers").set(runtime.num_workers() as f64);
    gauge!("tokio_alive_tasks").set(runtime.num_alive_tasks() as f64);
    gauge!("tokio_global_queue_depth").set(runtime.global_queue_depth() as f64);
}

fn memory() {
    let page = rustix::param::page_size() as f64;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    if let Some(pages) = statm.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()) {
        gauge!("process_resident_memory_bytes").set(pages * page);
    }
}

fn process() {
    memory();
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(entries.count() as f64);
    }
    // The fields after the name, which ends with `)`: user and system time are the 12th and 13th of them (proc(5)).
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    counter!("process_cpu_seconds_total").absolute(ticks / rustix::param::clock_ticks_per_second());
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
