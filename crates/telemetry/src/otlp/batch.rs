//! From spans to what OTLP calls them.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as OtlpKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status};

/// The trace flags of W3C: sampled.
const SAMPLED: u32 = 1;

/// Which process it is.
#[derive(Debug, Clone, Default)]
pub struct Resource {
    /// What it is called among others.
    pub instance: String,
    /// Of its program.
    pub version: String,
    /// What it does, in words.
    pub roles: String,
}

/// On which side of a queue a span stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpanKind {
    /// Within the server.
    #[default]
    Internal,
    /// It asks a store.
    Client,
    /// It puts a message on its way.
    Producer,
    /// It takes one off its way.
    Consumer,
}

/// What a span says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanValue {
    /// Words.
    Text(String),
    /// A number.
    Number(i64),
}

/// A span that is over.
#[derive(Debug, Clone, Default)]
pub struct Span {
    /// What was done.
    pub name: &'static str,
    /// On which side.
    pub kind: SpanKind,
    /// The trace.
    pub trace: u128,
    /// Its own name.
    pub span: u64,
    /// What came before.
    pub parent: Option<u64>,
    /// From when, in microseconds since 1970.
    pub begun: u64,
    /// Until when.
    pub ended: u64,
    /// What it says.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Whether it went wrong.
    pub has_failed: bool,
}

impl Resource {
    pub(super) fn metrics(&self, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
        let of_scope = ScopeMetrics { scope: Some(self.scope()), metrics, schema_url: String::new() };
        let of_process = ResourceMetrics {
            resource: Some(self.to_otlp()),
            scope_metrics: vec![of_scope],
            schema_url: String::new(),
        };
        ExportMetricsServiceRequest { resource_metrics: vec![of_process] }
    }

    fn scope(&self) -> InstrumentationScope {
        InstrumentationScope {
            name: "starling".to_owned(),
            version: self.version.clone(),
            ..InstrumentationScope::default()
        }
    }

    pub(super) fn request(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let spans = spans.into_iter().map(span).collect();
        let of_scope = ScopeSpans { scope: Some(self.scope()), spans, schema_url: String::new() };
        let of_process = ResourceSpans {
            resource: Some(self.to_otlp()),
            scope_spans: vec![of_scope],
            schema_url: String::new(),
        };
        ExportTraceServiceRequest { resource_spans: vec![of_process] }
    }

    fn to_otlp(&self) -> OtlpResource {
        let said = [
            ("service.name", "starling"),
            ("service.instance.id", &self.instance),
            ("service.version", &self.version),
            ("starling.roles", &self.roles),
        ];
        let attributes = said.map(|(key, value)| pair(key, SpanValue::Text(value.to_owned()))).to_vec();
        OtlpResource { attributes, ..OtlpResource::default() }
    }
}

fn span(span: Span) -> OtlpSpan {
    let kind = match span.kind {
        SpanKind::Internal => OtlpKind::Internal,
        SpanKind::Client => OtlpKind::Client,
        SpanKind::Producer => OtlpKind::Producer,
        SpanKind::Consumer => OtlpKind::Consumer,
    };
    let status = Status { code: StatusCode::Error.into(), message: String::new() };
    OtlpSpan {
        trace_id: span.trace.to_be_bytes().to_vec(),
        span_id: span.span.to_be_bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        flags: SAMPLED,
        name: span.name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: span.begun.saturating_mul(1000),
        end_time_unix_nano: span.ended.saturating_mul(1000),
        attributes: span.attributes.into_iter().map(|(key, value)| pair(key, value)).collect(),
        status: span.has_failed.then_some(status),
        ..OtlpSpan::default()
    }
}

pub(super) fn pair(key: &str, value: SpanValue) -> KeyValue {
    let value = match value {
        SpanValue::Text(text) => any_value::Value::StringValue(text),
        SpanValue::Number(number) => any_value::Value::IntValue(number),
    };
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
