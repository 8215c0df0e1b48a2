//! The other side of REST, for `starling ctl` from another machine: the same commands, by the same list.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Map, Value};
use starling_dns::Resolver;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::commands::{COMMANDS, Command};
use crate::route;

/// How long a server may take to be reached, and then to answer: longer than it gives itself.
const REACHED_WITHIN: Duration = Duration::from_secs(10);
const ANSWERED_WITHIN: Duration = Duration::from_secs(45);
/// No answer is longer: 10,000 sessions are a few megabytes.
const LONGEST: usize = 64 * 1024 * 1024;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What is not to be used so.
    #[error("{0}")]
    Unusable(String),
    /// Nobody there, or not who it should be.
    #[error("{server} does not answer: {cause}")]
    Unreachable {
        /// Which.
        server: String,
        /// Why.
        cause: Cause,
    },
    /// It answered, and did not do it.
    #[error("{0}")]
    Refused(String),
}

/// A server, and a token for it.
#[derive(Clone)]
pub struct Client {
    server: Uri,
    token: String,
    authorities: Option<PathBuf>,
}

impl Client {
    /// `server` is a URL without a path. Over `http` only on this machine: a token is not sent in the open.
    pub fn new(server: &str, token: &str, authorities: Option<&Path>) -> Result<Client, ClientError> {
        let wrong = |why: &str| ClientError::Unusable(format!("{server}: {why}"));
        let uri: Uri = server.parse().map_err(|_| wrong("not a URL such as https://chat.example:5282"))?;
        let host = host(&uri);
        let is_here =
            host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_here => {}
            Some("http") => return Err(wrong("the token would go there in the open: use https")),
            _ => return Err(wrong("not a URL such as https://chat.example:5282")),
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("a URL without a path is wanted"));
        }
        Ok(Client { server: uri, token: token.to_owned(), authorities: authorities.map(Path::to_owned) })
    }

    /// The answer to a command with these fields.
    pub async fn ask(&self, name: &str, fields: Map<String, Value>) -> Result<Value, ClientError> {
        let command = COMMANDS.iter().find(|command| command.name == name);
        let command =
            command.ok_or_else(|| ClientError::Unusable(format!("there is no command {name:?}")))?;
        let request =
            self.request(command, fields).map_err(|error| ClientError::Unusable(error.to_string()))?;
        let unreachable = |cause: Cause| ClientError::Unreachable { server: self.server.to_string(), cause };
        let (status, bytes) = self.send(request).await.map_err(unreachable)?;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match status {
            StatusCode::OK => Ok(answer),
            StatusCode::UNAUTHORIZED => {
                Err(ClientError::Refused("the server does not know this token".to_owned()))
            }
            StatusCode::FORBIDDEN => Err(ClientError::Refused("this token may not do that".to_owned())),
            other => {
                let words = answer.get("error").and_then(Value::as_str).map(str::to_owned);
                Err(ClientError::Refused(words.unwrap_or_else(|| format!("the server answers {other}"))))
            }
        }
    }

    fn request(
        &self,
        command: &Command,
        mut fields: Map<String, Value>,
    ) -> Result<Request<Full<Bytes>>, Cause> {
        let parts: Vec<String> = command
            .path
            .split('/')
            .map(|part| match route::field(part) {
                Some(name) => encoded(&fields.remove(name).unwrap_or_default()),
                None => part.to_owned(),
            })
            .collect();
        let (mut path, mut body) = (parts.join("/"), Bytes::new());
        if command.verb.has_body() {
            body = Bytes::from(Value::Object(fields).to_string());
        } else if !fields.is_empty() {
            let pairs: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
            path = format!("{path}?{}", pairs.join("&"));
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", self.token))?;
        bearer.set_sensitive(true);
        let authority = self.server.authority().map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(command.verb.as_str())
            .uri(path)
            .header(HOST, authority)
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json");
        Ok(request.body(Full::new(body))?)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Cause> {
        let is_tls = self.server.scheme_str() == Some("https");
        let port = self.server.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let host = host(&self.server).to_owned();
        let reached = async {
            let socket = Resolver::system().connect(&host, port).await?;
            let connected: Box<dyn Socket> = match is_tls {
                true => {
                    let name = ServerName::try_from(host.clone())?;
                    let connected = TlsConnector::from(self.tls()?).connect(name, socket).await;
                    Box::new(connected.map_err(handshake_failed)?)
                }
                false => Box::new(socket),
            };
            Ok::<_, Cause>(connected)
        };
        let socket = timeout(REACHED_WITHIN, reached).await??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let mut answered = Box::pin(timeout(ANSWERED_WITHIN, async move {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            Ok::<_, Cause>((status, Limited::new(answer.into_body(), LONGEST).collect().await?.to_bytes()))
        }));
        tokio::select! {
            answer = &mut answered => answer?,
            _ = connection => answered.await?,
        }
    }

    /// The authorities of the system, or those that are given.
    fn tls(&self) -> Result<Arc<ClientConfig>, Cause> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Some(path) => {
                let wrong = |error| format!("{}: {error}", path.display());
                for one in CertificateDer::pem_file_iter(path).map_err(wrong)? {
                    roots.add(one.map_err(wrong)?)?;
                }
            }
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// In words where the other side does not speak TLS at all.
fn handshake_failed(error: std::io::Error) -> Cause {
    let why = error.get_ref().and_then(|why| why.downcast_ref());
    match why {
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS there: is it `http://`?".into(),
        _ => error.into(),
    }
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn encoded(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_not_sent_in_the_open() {
        for server in
            ["https://chat.example", "https://192.0.2.1:5282/", "http://localhost:5282", "http://[::1]:1"]
        {
            assert!(Client::new(server, "t", None).is_ok(), "{server}");
        }
        for server in [
            "http://chat.example",
            "http://192.0.2.1",
            "ftp://localhost",
            "localhost",
            "https://a/b",
            "https://a?b",
            "",
        ] {
            assert!(Client::new(server, "t", None).is_err(), "{server}");
        }
    }

    #[test]
    fn what_is_sent_is_what_the_server_finds() {
        let client = Client::new("http://localhost:1", "t", None).unwrap();
        for command in COMMANDS {
            let fields = json!({"jid": "é/%@b", "id": "0f", "other": "x y&z"});
            let request = client.request(command, fields.as_object().unwrap().clone()).unwrap();
            let route::Found::Command(found, in_path) =
                route::find(request.method(), &request.uri().path().replace("%2F", "-"))
            else {
                panic!("{command:?}")
            };
            assert_eq!(found, command);
            let query = route::query(request.uri().query().unwrap_or_default()).unwrap();
            let is_there = query.contains(&("other".to_owned(), "x y&z".to_owned()));
            assert_eq!(is_there, !command.verb.has_body(), "{command:?}");
            assert!(in_path.iter().all(|(_, value)| value == "é-%@b" || value == "0f"), "{in_path:?}");
        }
    }

    #[tokio::test]
    async fn a_server_without_tls_is_told_from_one_that_is_away() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("https://{}", listener.local_addr().unwrap());
        let answers = async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let refused = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut socket, refused).await.unwrap();
            let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await; // until the client has read it
        };
        let client = Client::new(&server, "t", None).unwrap();
        let (asked, ()) = tokio::join!(client.ask("status", Map::new()), answers);
        let error = asked.unwrap_err();
        let told = format!("{server}/ does not answer: it does not speak TLS there: is it `http://`?");
        assert_eq!(error.to_string(), told);
    }
}
