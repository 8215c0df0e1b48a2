//! One client's connection: STARTTLS, registration, SASL, binding, and then stanzas as bytes.

use crate::options::{Mechanism, Options};
use crate::scan::{self, Event, Scanner};
use crate::scram::Scram;
use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// No step of a login may take longer.
const STEP: Duration = Duration::from_secs(30);

enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Gone,
}

/// A connection with its scanner.
pub(crate) struct Client {
    link: Link,
    scanner: Scanner,
    /// The full JID, once bound.
    pub(crate) jid: String,
}

impl Client {
    /// Connects and, if asked, starts TLS; ends with the features of a stream that can log in.
    pub(crate) async fn connect(options: &Options, tls: Option<&TlsConnector>) -> Result<Self> {
        let socket = TcpStream::connect(options.target()?).await.context("the server cannot be reached")?;
        socket.set_nodelay(true)?;
        let mut client = Self { link: Link::Plain(socket), scanner: Scanner::default(), jid: String::new() };
        client.open(&options.domain).await?;
        let Some(connector) = tls else { return Ok(client) };
        client.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        let answer = client.stanza().await?;
        ensure!(scan::name(&answer) == b"proceed", "STARTTLS was refused");
        client.scanner.reset();
        let Link::Plain(socket) = std::mem::replace(&mut client.link, Link::Gone) else { bail!("TLS twice") };
        let name = rustls::pki_types::ServerName::try_from(options.domain.clone())?;
        let stream = tokio::time::timeout(STEP, connector.connect(name, socket)).await??;
        client.link = Link::Tls(Box::new(stream));
        client.open(&options.domain).await?;
        Ok(client)
    }

    /// Connects, logs `user` in and binds a resource.
    pub(crate) async fn login(options: &Options, tls: Option<&TlsConnector>, user: &str) -> Result<Self> {
        let mut client = Self::connect(options, tls).await?;
        client.authenticate(options, user).await?;
        client.scanner.reset();
        client.open(&options.domain).await?;
        client
            .send(b"<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            .await?;
        let bound = client.answer("bind").await?;
        let jid = scan::text(&bound, "jid").context("no JID was bound")?;
        client.jid = String::from_utf8(jid.to_vec())?;
        client.scanner.shrink();
        Ok(client)
    }

    async fn authenticate(&mut self, options: &Options, user: &str) -> Result<()> {
        let auth = |mechanism: &str, data: &[u8]| {
            let data = BASE64.encode(data);
            format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{data}</auth>")
        };
        match options.mechanism {
            Mechanism::Plain => {
                self.send(auth("PLAIN", format!("\0{user}\0{}", options.password).as_bytes()).as_bytes())
                    .await?;
                let answer = self.stanza().await?;
                ensure!(scan::name(&answer) == b"success", "login: {}", String::from_utf8_lossy(&answer));
            }
            Mechanism::ScramSha1 => {
                let scram = Scram::new(user)?;
                self.send(auth("SCRAM-SHA-1", scram.first().as_bytes()).as_bytes()).await?;
                let answer = self.stanza().await?;
                let challenge = scan::text(&answer, "challenge")
                    .with_context(|| format!("login: {}", String::from_utf8_lossy(&answer)))?;
                let (last, expected) = scram.answer(&options.password, &BASE64.decode(challenge)?)?;
                let data = BASE64.encode(last);
                self.send(
                    format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{data}</response>")
                        .as_bytes(),
                )
                .await?;
                let answer = self.stanza().await?;
                let success = scan::text(&answer, "success")
                    .with_context(|| format!("login: {}", String::from_utf8_lossy(&answer)))?;
                ensure!(BASE64.decode(success)? == expected.as_bytes(), "the server's signature is wrong");
            }
        }
        Ok(())
    }

    async fn open(&mut self, domain: &str) -> Result<()> {
        let header = format!(
            "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>"
        );
        self.send(header.as_bytes()).await?;
        let features = self.stanza().await?;
        ensure!(scan::name(&features).ends_with(b"features"), "no stream features came");
        Ok(())
    }

    /// The answer to the request `id`; what else arrives before it is dropped.
    pub(crate) async fn answer(&mut self, id: &str) -> Result<Vec<u8>> {
        loop {
            let stanza = self.stanza().await?;
            if scan::name(&stanza) == b"iq" && scan::attribute(&stanza, "id") == Some(id.as_bytes()) {
                return Ok(stanza);
            }
        }
    }

    /// Turns XEP-0198 stream management on.
    pub(crate) async fn enable_sm(&mut self) -> Result<()> {
        self.send(b"<enable xmlns='urn:xmpp:sm:3'/>").await?;
        loop {
            let stanza = self.stanza().await?;
            match scan::name(&stanza) {
                b"enabled" => return Ok(()),
                b"failed" => bail!("stream management was refused"),
                _ => {}
            }
        }
    }

    /// Waits for one whole stanza.
    pub(crate) async fn stanza(&mut self) -> Result<Vec<u8>> {
        loop {
            while let Some(event) = self.scanner.next() {
                match event {
                    Event::Stanza(bytes) => return Ok(bytes.to_vec()),
                    Event::Open => {}
                    Event::Close => bail!("the server closed the stream"),
                }
            }
            tokio::time::timeout(STEP, self.fill()).await.context("the server did not answer")??;
        }
    }

    /// Reads once, whatever is there. Cancel-safe: bytes read are in the scanner.
    pub(crate) async fn fill(&mut self) -> Result<()> {
        let space = self.scanner.space();
        let read = match &mut self.link {
            Link::Plain(socket) => socket.read_buf(space).await?,
            Link::Tls(stream) => stream.read_buf(space).await?,
            Link::Gone => 0,
        };
        ensure!(read > 0, "the server closed the connection");
        Ok(())
    }

    /// The next event among the bytes already read.
    pub(crate) fn next(&mut self) -> Option<Event<'_>> {
        self.scanner.next()
    }

    /// Writes and flushes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.link {
            Link::Plain(socket) => socket.write_all(bytes).await?,
            Link::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await?;
            }
            Link::Gone => bail!("not connected"),
        }
        Ok(())
    }

    /// Ends the stream in order.
    pub(crate) async fn close(mut self) {
        let _ = self.send(b"</stream:stream>").await; // leaving either way
    }
}

/// A connector that takes any certificate: only loopback is ever a target, and it is the server's cost that counts.
pub(crate) fn connector() -> Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled(); // each login pays for its handshake
    Ok(TlsConnector::from(Arc::new(config)))
}

#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
