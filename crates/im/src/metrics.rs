//! What is counted here. The only place that names these metrics.

use metrics::{Counter, counter, describe_counter};
use starling_ports::sessions::Claimed;
use starling_session_router::Routed;

/// Resolved once: counting is an addition.
pub(crate) struct Metrics {
    kept: Counter,
    passed: Counter,
    dropped: Counter,
    refused: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        describe_counter!(
            "xmpp_message_outcome_total",
            "Messages at their receiver: kept (archived, or until acknowledged), passed (to sessions only), dropped, refused"
        );
        describe_counter!("xmpp_sm_resume_total", "Attempts to resume a session, by result");
        [OK, FAILED, TOO_HIGH].into_iter().for_each(|result| resumes(result).increment(0));
        let outcome = |outcome: &'static str| counter!("xmpp_message_outcome_total", "outcome" => outcome);
        Metrics {
            kept: outcome("kept"),
            passed: outcome("passed"),
            dropped: outcome("dropped"),
            refused: outcome("refused"),
        }
    }

    /// A message was routed at its receiver.
    pub(crate) fn message(&self, routed: &Routed) {
        let counter = match routed {
            Routed::Done { id: Some(_) } => &self.kept,
            Routed::Done { id: None } => &self.passed,
            Routed::Dropped | Routed::Fenced => &self.dropped,
            Routed::Refused(_) => &self.refused,
        };
        counter.increment(1);
    }

    /// A client wanted to resume (XEP-0198 §5).
    pub(crate) fn resume(&self, claimed: &Claimed) {
        let result = match claimed {
            Claimed::Resumed { .. } => OK,
            Claimed::Failed { .. } => FAILED,
            Claimed::TooHigh { .. } => TOO_HIGH,
            Claimed::Doubtful => return, // it is asked again
        };
        resumes(result).increment(1);
    }
}

const OK: &str = "ok";
const FAILED: &str = "failed";
const TOO_HIGH: &str = "h_too_high";

fn resumes(result: &'static str) -> Counter {
    counter!("xmpp_sm_resume_total", "result" => result)
}
