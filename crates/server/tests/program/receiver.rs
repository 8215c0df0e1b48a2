//! An OpenTelemetry receiver: keeps what it is sent by OTLP over gRPC.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::codegen::tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::{Connected, Router};
use tonic::{Request, Response, Status};

/// A span, and the process that sent it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) node: String,
    pub(crate) span: Span,
}

impl Received {
    /// What it says beside its times.
    pub(crate) fn says(&self, key: &str) -> Option<String> {
        said(&self.span.attributes, key)
    }
}

#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<Received>>>, Said);

/// What came last.
#[derive(Debug, Clone, Default)]
struct Figures(Arc<Mutex<Vec<Metric>>>, Said);

/// The `authorization` of each request.
type Said = Arc<Mutex<Vec<Option<String>>>>;

fn note(said: &Said, metadata: &MetadataMap) {
    let authorization = metadata.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    said.lock().unwrap().push(authorization);
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    /// What is to be believed to reach it over TLS, in PEM form.
    pub(crate) certificate: String,
    kept: Kept,
    figures: Figures,
    said: Said,
    _serving: JoinSet<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Receiver {
        let (listener, mut receiver) = Receiver::bind().await;
        let server = receiver.services();
        receiver._serving.spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        receiver
    }

    /// As `localhost`, with a certificate of its own.
    pub(crate) async fn start_tls() -> Receiver {
        let (listener, mut receiver) = Receiver::bind().await;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        receiver.certificate = made.cert.pem();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (acceptor, server) = (TlsAcceptor::from(Arc::new(config)), receiver.services());
        let (queue, secured) = mpsc::channel(16);
        receiver._serving.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Whoever does not believe it is not served.
                let Ok(stream) = acceptor.accept(socket).await else { continue };
                if queue.send(Ok::<_, std::io::Error>(Secured(stream))).await.is_err() {
                    return;
                }
            }
        });
        receiver._serving.spawn(async move {
            server.serve_with_incoming(ReceiverStream::new(secured)).await.unwrap();
        });
        receiver
    }

    async fn bind() -> (TcpListener, Receiver) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, said) = (listener.local_addr().unwrap(), Said::default());
        let kept = Kept(Arc::default(), said.clone());
        let figures = Figures(Arc::default(), said.clone());
        let (certificate, _serving) = (String::new(), JoinSet::new());
        (listener, Receiver { address, certificate, kept, figures, said, _serving })
    }

    fn services(&self) -> Router {
        Server::builder()
            .add_service(TraceServiceServer::new(self.kept.clone()))
            .add_service(MetricsServiceServer::new(self.figures.clone()))
    }

    /// The `authorization` of each request so far.
    pub(crate) fn said(&self) -> Vec<Option<String>> {
        self.said.lock().unwrap().clone()
    }

    /// The metrics that came last.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        self.figures.0.lock().unwrap().clone()
    }

    /// All spans that have come.
    pub(crate) fn spans(&self) -> Vec<Received> {
        self.kept.0.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        note(&self.1, request.metadata());
        let mut kept = self.0.lock().unwrap();
        for of_process in request.into_inner().resource_spans {
            let resource = of_process.resource.unwrap_or_default();
            let node = said(&resource.attributes, "service.instance.id").unwrap_or_default();
            let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
            kept.extend(spans.map(|span| Received { node: node.clone(), span }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Figures {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        note(&self.1, request.metadata());
        let all = request.into_inner().resource_metrics.into_iter().flat_map(|one| one.scope_metrics);
        *self.0.lock().unwrap() = all.flat_map(|scope| scope.metrics).collect();
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// A connection over TLS, as tonic takes it.
struct Secured(TlsStream<TcpStream>);

impl Connected for Secured {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn said(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|pair| pair.key == key)?;
    match &found.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text.clone()),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => Some(number.to_string()),
        _ => None,
    }
}
