//! From the spans of the ports to the OpenTelemetry receiver, and which stanzas are followed.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use starling_admin::messages::{TraceAnswer, TraceChangeRequest};
use starling_jid::BareJid;
use starling_ports::trace::{self, Ended, Kind, Sampling, Spans, Tracer};
use starling_telemetry::otlp::{self, Exporter, Resource, Span, SpanKind, SpanValue};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// More names than one would follow by hand; each is compared with every stanza.
const MOST_ACCOUNTS: usize = 64;

struct Exported(Exporter);

impl Spans for Exported {
    fn ended(&self, span: Ended) {
        let Ended { name, kind, trace, span, parent, begun, ended, attributes, has_failed } = span;
        let kind = match kind {
            Kind::Producer => SpanKind::Producer,
            Kind::Internal => SpanKind::Internal,
            Kind::Client => SpanKind::Client,
            Kind::Consumer => SpanKind::Consumer,
        };
        let value = |value| match value {
            trace::Value::Text(text) => SpanValue::Text(text),
            trace::Value::Number(number) => SpanValue::Number(number),
        };
        let attributes = attributes.into_iter().map(|(key, said)| (key, value(said))).collect();
        let (begun, ended) = (begun.0, ended.0);
        self.0.send(Span { name, kind, trace, span, parent, begun, ended, attributes, has_failed });
    }
}

/// Begins to send; where there is no receiver, nothing is ever followed.
pub(crate) fn start(
    config: &otlp::Config,
    resource: Resource,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<Tracer> {
    let Some(exporter) = otlp::start(config, resource, tasks, stop) else { return Ok(Tracer::default()) };
    let tracer = Tracer::new(Arc::new(Exported(exporter)), getrandom::u64().unwrap_or_default());
    tracer.follow(sampling(config)?);
    Ok(tracer)
}

/// What the configuration says is followed.
pub(crate) fn sampling(config: &otlp::Config) -> Result<Sampling> {
    let accounts: Result<Vec<BareJid>> = config.sample_accounts.iter().map(|jid| account(jid)).collect();
    let accounts = accounts?;
    ensure!(accounts.len() <= MOST_ACCOUNTS, "at most {MOST_ACCOUNTS} accounts are followed at once");
    Ok(Sampling { rate: config.sample_rate, accounts, most_per_second: config.most_per_second })
}

fn account(text: &str) -> Result<BareJid> {
    BareJid::new(text).with_context(|| format!("{text:?} is not a bare JID"))
}

/// Whether it makes sense, wherever it is done.
pub(crate) fn check(change: &TraceChangeRequest) -> Result<()> {
    let is_empty = *change == TraceChangeRequest::default();
    ensure!(!is_empty, "nothing is to change: name a rate, or an account to follow or to unfollow");
    ensure!(change.rate.is_none_or(|rate| (0.0..=1.0).contains(&rate)), "a rate is from 0 to 1");
    change.follow.iter().chain(&change.unfollow).try_for_each(|jid| account(jid).map(drop))
}

/// Changes what is followed, and says what is.
pub(crate) fn change(tracer: &Tracer, change: &TraceChangeRequest) -> Result<TraceAnswer> {
    check(change)?;
    let mut sampling = tracer.sampling();
    if let Some(rate) = change.rate {
        sampling.rate = rate;
    }
    if let Some(jid) = &change.follow {
        let jid = account(jid)?;
        if !sampling.accounts.contains(&jid) {
            sampling.accounts.push(jid);
        }
        let most = MOST_ACCOUNTS;
        ensure!(sampling.accounts.len() <= most, "at most {most} accounts are followed at once");
    }
    if let Some(jid) = &change.unfollow {
        let (jid, before) = (account(jid)?, sampling.accounts.len());
        sampling.accounts.retain(|one| *one != jid);
        ensure!(sampling.accounts.len() < before, "{jid} is not followed");
    }
    tracer.follow(sampling);
    Ok(status(tracer))
}

/// What is followed.
pub(crate) fn status(tracer: &Tracer) -> TraceAnswer {
    let Sampling { rate, accounts, most_per_second } = tracer.sampling();
    TraceAnswer {
        has_receiver: tracer.has_receiver(),
        rate,
        account_hashes: accounts.iter().map(trace::account_hash).collect(),
        accounts: accounts.iter().map(BareJid::to_string).collect(),
        most_per_second,
        ..TraceAnswer::default()
    }
}
