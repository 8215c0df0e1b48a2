//! Metrics: counted by the libraries under the names of their `metrics.rs`, read here as Prometheus text.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::TelemetryError;

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
    PrometheusBuilder::new().install_recorder().map(Metrics).map_err(|_| TelemetryError::Twice)
}
