//! The way to the receiver: in the open or over TLS, and which headers every request has.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use starling_dns::Resolver;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tonic::Request;
use tonic::codegen::http::Uri;
use tonic::metadata::{Ascii, AsciiMetadataValue, MetadataKey};
use tonic::transport::{Channel, Endpoint};

use super::{Config, WITHIN, Wrong};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Where the receiver is, and what it is told beside.
#[derive(Debug)]
pub(super) struct Way {
    endpoint: Endpoint,
    dial: Dial,
    pub(super) headers: Headers,
}

impl Way {
    /// As the configuration says, whose files are read to see that they can be; `None` where nothing is to be sent.
    pub(super) fn new(config: &Config) -> Result<Option<Way>, Wrong> {
        if config.endpoint.is_empty() {
            return Ok(None);
        }
        if names_a_user(&config.endpoint) {
            // Without the value: this goes to a log.
            let why = "a user and a password do not belong here: write `authorization: Basic …` to the file of otlp.headers-file";
            return Err(Wrong { field: "endpoint", why: why.to_owned() });
        }
        let why = || Wrong {
            field: "endpoint",
            why: format!("{:?} is not like https://host:4317 or http://host:4317", config.endpoint),
        };
        let uri: Uri = config.endpoint.parse().map_err(|_| why())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(why()),
        };
        let host = uri.host().map(|host| host.trim_matches(['[', ']']).to_owned());
        let host = host.filter(|host| !host.is_empty()).ok_or_else(why)?;
        let headers = Headers::new(&config.headers_file)?;
        if !is_tls && headers.0.is_some() && !is_here(&host) {
            let why = format!("what it holds would go to {host} in the open: use https");
            return Err(Wrong { field: "headers-file", why });
        }
        let authorities = is_tls.then(|| config.ca_file.clone());
        match &authorities {
            Some(authorities) => {
                roots(authorities).map_err(|error| Wrong { field: "ca-file", why: error.to_string() })?;
            }
            None if !config.ca_file.as_os_str().is_empty() => {
                return Err(Wrong { field: "ca-file", why: "is for an endpoint by https".to_owned() });
            }
            None => {}
        }
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let dial = Dial { resolver: Resolver::system(), host, port, authorities };
        let endpoint = Endpoint::from(uri).connect_timeout(WITHIN).timeout(WITHIN);
        Ok(Some(Way { endpoint, dial, headers }))
    }

    /// Connects with the first request, and again when it is lost.
    pub(super) fn connect(self) -> Channel {
        self.endpoint.connect_with_connector_lazy(self.dial)
    }
}

/// Whether something is before the host (RFC 3986 §3.2.1).
fn names_a_user(endpoint: &str) -> bool {
    let behind = endpoint.split_once("://").map_or(endpoint, |(_, behind)| behind);
    behind.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// A file with lines `NAME: VALUE`, read for every request, so that a token may change.
#[derive(Debug, Clone)]
pub(super) struct Headers(Option<PathBuf>);

impl Headers {
    fn new(file: &Path) -> Result<Headers, Wrong> {
        if file.as_os_str().is_empty() {
            return Ok(Headers(None));
        }
        let wrong = |why: String| Wrong { field: "headers-file", why: format!("{}: {why}", file.display()) };
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        read(&text).map_err(wrong)?;
        Ok(Headers(Some(file.to_owned())))
    }

    /// A request with them. Where the file cannot be read meanwhile it has none, and whoever wants them refuses it.
    pub(super) async fn with<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        let Some(file) = &self.0 else { return request };
        let text = tokio::fs::read_to_string(file).await.map_err(|error| error.to_string());
        match text.and_then(|text| read(&text)) {
            Ok(headers) => {
                for (name, value) in headers {
                    request.metadata_mut().insert(name, value);
                }
            }
            Err(error) => tracing::warn!(error, "the headers for a receiver cannot be read"),
        }
        request
    }
}

/// What is wrong is said by its line, never with its value.
fn read(text: &str) -> Result<Vec<(MetadataKey<Ascii>, AsciiMetadataValue)>, String> {
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            let pair = line.split_once(':').and_then(|(name, value)| {
                let name = name.trim().to_ascii_lowercase().parse().ok()?;
                let mut value = AsciiMetadataValue::try_from(value.trim()).ok()?;
                value.set_sensitive(true);
                Some((name, value))
            });
            pair.ok_or_else(|| format!("line {} is not NAME: VALUE", at + 1))
        })
        .collect()
}

/// Connects, where `authorities` are named over TLS 1.2 or 1.3. These are read for each connection, so that they may change.
#[derive(Debug, Clone)]
struct Dial {
    resolver: Resolver,
    host: String,
    port: u16,
    /// `None`: in the open. An empty path: those that the system believes.
    authorities: Option<PathBuf>,
}

impl Dial {
    async fn connect(self) -> Result<TokioIo<Box<dyn Socket>>, Cause> {
        let socket = self.resolver.connect(&self.host, self.port).await?;
        socket.set_nodelay(true)?;
        let Some(authorities) = self.authorities else { return Ok(TokioIo::new(Box::new(socket))) };
        let roots = tokio::task::spawn_blocking(move || roots(&authorities)).await??;
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(self.host)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
        Ok(TokioIo::new(Box::new(stream)))
    }
}

fn roots(authorities: &Path) -> Result<RootCertStore, Cause> {
    let mut roots = RootCertStore::empty();
    if authorities.as_os_str().is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let why = "the system believes no authority at all: name one";
        return if roots.is_empty() { Err(why.into()) } else { Ok(roots) };
    }
    let wrong = |why: String| format!("{}: {why}", authorities.display());
    for one in CertificateDer::pem_file_iter(authorities).map_err(|error| wrong(error.to_string()))? {
        roots.add(one.map_err(|error| wrong(error.to_string()))?)?;
    }
    if roots.is_empty() {
        Err(wrong("holds no certificate in PEM form".to_owned()).into())
    } else {
        Ok(roots)
    }
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

impl tower_service::Service<Uri> for Dial {
    type Response = TokioIo<Box<dyn Socket>>;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Cause>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(endpoint: &str, ca_file: &Path, headers_file: &Path) -> Option<&'static str> {
        let (ca_file, headers_file) = (ca_file.to_owned(), headers_file.to_owned());
        let config = Config { endpoint: endpoint.to_owned(), ca_file, headers_file, ..Config::default() };
        config.check().err().map(|wrong| wrong.field)
    }

    #[test]
    fn a_header_is_a_line_and_what_is_wrong_does_not_tell_its_value() {
        let headers = read("# for the collector\n\nAuthorization: Bearer a:b\nx-tenant:1\n").unwrap();
        let said: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(said, [("authorization", "Bearer a:b"), ("x-tenant", "1")]);
        assert!(!format!("{headers:?}").contains("Bearer"), "{headers:?}");
        for bad in [
            "x: 1\nsecret",
            "x: 1\nse cret: 1",
            "x: 1\nx-bin: secret",
            "x: 1\n: secret",
            "x: 1\ny: \u{1}secret",
        ] {
            assert_eq!(read(bad).unwrap_err(), "line 2 is not NAME: VALUE", "{bad}");
        }
    }

    #[test]
    fn what_is_secret_is_not_sent_in_the_open() {
        let folder = tempfile::tempdir().unwrap();
        let (file, nothing) = (folder.path().join("headers"), Path::new(""));
        std::fs::write(&file, "authorization: Bearer secret\n").unwrap();
        for good in
            ["https://otel:4317", "http://localhost:4317", "http://127.0.0.1:4317", "http://[::1]:4317"]
        {
            assert_eq!(wrong(good, nothing, &file), None, "{good}");
        }
        assert_eq!(wrong("http://otel:4317", nothing, &file), Some("headers-file"));
        assert_eq!(wrong("http://otel:4317", nothing, nothing), None);
        std::fs::write(&file, "secret").unwrap();
        assert_eq!(wrong("https://otel:4317", nothing, &file), Some("headers-file"));
        assert_eq!(wrong("https://otel:4317", nothing, &folder.path().join("none")), Some("headers-file"));
    }

    #[test]
    fn an_authority_is_a_certificate_and_only_for_tls() {
        let folder = tempfile::tempdir().unwrap();
        let (file, nothing) = (folder.path().join("ca.pem"), Path::new(""));
        std::fs::write(&file, "not PEM").unwrap();
        assert_eq!(wrong("https://otel:4317", &file, nothing), Some("ca-file"));
        let made = rcgen::generate_simple_self_signed(vec!["otel".to_owned()]).unwrap();
        std::fs::write(&file, made.cert.pem()).unwrap();
        assert_eq!(wrong("https://otel:4317", &file, nothing), None);
        assert_eq!(wrong("http://otel:4317", &file, nothing), Some("ca-file"));
    }

    #[tokio::test]
    async fn a_receiver_is_found_by_its_name_or_the_name_is_told() {
        let (server, folder) = (starling_testkit::NameServer::start().await, tempfile::tempdir().unwrap());
        let (resolv_conf, hosts) = (folder.path().join("resolv.conf"), folder.path().join("hosts"));
        std::fs::write(&resolv_conf, "search monitoring.svc.cluster.local\nnameserver 127.0.0.1\n").unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dial = Dial {
            resolver: Resolver::of(starling_dns::Files { resolv_conf, hosts, port: server.port() }),
            host: "otel".to_owned(),
            port: listener.local_addr().unwrap().port(),
            authorities: None,
        };
        let error = dial.clone().connect().await.err().unwrap().to_string();
        assert!(error.contains("otel: no such name"), "{error}");
        server.set("otel.monitoring.svc.cluster.local", 60, &["127.0.0.1".parse().unwrap()]);
        assert!(dial.connect().await.is_ok());
    }
}
