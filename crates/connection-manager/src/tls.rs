//! Certificates: one per domain, chosen by SNI, made on first start where none is given, exchanged without a restart.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use starling_jid::BareJid;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::certificate::{self, Certificate};
use crate::config::TlsConfig;
use crate::error::Error;
use crate::shown::Shown;

/// RFC 9266 §4.2.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// How often it is looked whether the files of a certificate have changed.
const LOOKED_EVERY: Duration = Duration::from_secs(2);
/// How often all is read again: a self-signed certificate is made anew before it expires, however long the server runs.
const RENEWED_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What the listeners need to speak TLS.
#[derive(Debug)]
pub struct Tls {
    certificates: Arc<Certificates>,
    source: Mutex<Source>,
    data_dir: PathBuf,
    /// For STARTTLS.
    pub(crate) starttls: Arc<ServerConfig>,
    /// For direct TLS: ALPN `xmpp-client` (XEP-0368 §2).
    pub(crate) direct: Arc<ServerConfig>,
    /// For WebSocket and BOSH.
    pub(crate) https: Arc<ServerConfig>,
}

/// What the certificates in use were read for.
#[derive(Debug, Clone)]
struct Source {
    config: TlsConfig,
    domains: Vec<BareJid>,
}

impl Tls {
    /// Reads the configured certificates; a domain without one gets a self-signed one under `data_dir/tls`.
    pub fn open(config: &TlsConfig, domains: &[BareJid], data_dir: &Path) -> Result<Tls, Error> {
        let loaded = Shown::load(config, domains, data_dir)?;
        let certificates = Arc::new(Certificates { present: RwLock::new(Arc::new(loaded)) });
        let server = |alpn: &[&[u8]]| server_config(certificates.clone(), alpn).map(Arc::new);
        Ok(Tls {
            starttls: server(&[])?,
            direct: server(&[b"xmpp-client"])?,
            https: server(&[b"http/1.1"])?,
            source: Mutex::new(Source { config: config.clone(), domains: domains.to_vec() }),
            data_dir: data_dir.to_owned(),
            certificates,
        })
    }

    /// For another listener that shows the same certificates, and speaks these protocols (ALPN).
    pub fn for_protocols(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, Error> {
        server_config(self.certificates.clone(), alpn).map(Arc::new)
    }

    /// Reads the certificates again, for handshakes from now on. On an error the present ones stay.
    pub fn reload(&self, config: &TlsConfig, domains: &[BareJid]) -> Result<(), Error> {
        let mut source = self.source.lock(); // one at a time
        let loaded = Shown::load(config, domains, &self.data_dir)?;
        *self.certificates.present.write() = Arc::new(loaded);
        *source = Source { config: config.clone(), domains: domains.to_vec() };
        Ok(())
    }

    /// Until when the certificates hold that are shown now, by domain.
    pub fn expiries(&self) -> Vec<(String, SystemTime)> {
        self.certificates.present.read().expiries()
    }

    /// Takes up files that have changed, within seconds, and has `changed` say so, until `stop`. Who is connected already notices
    /// nothing.
    pub async fn watch(self: Arc<Tls>, changed: impl Fn(&Tls), stop: CancellationToken) {
        let mut clock = tokio::time::interval(LOOKED_EVERY);
        let mut renewed = tokio::time::Instant::now();
        while stop.run_until_cancelled(clock.tick()).await.is_some() {
            let is_due = renewed.elapsed() >= RENEWED_EVERY;
            if is_due {
                renewed = tokio::time::Instant::now();
            }
            let tls = self.clone();
            let looked = tokio::task::spawn_blocking(move || if is_due { tls.renew() } else { tls.follow() });
            if looked.await.is_ok_and(|is_news| is_news) {
                changed(&self);
            }
        }
    }

    /// Takes up files that have changed, each domain's for itself; whether there is news.
    fn follow(&self) -> bool {
        let _one_at_a_time = self.source.lock();
        let present = self.certificates.present.read().clone();
        let Some(followed) = present.followed() else { return false };
        *self.certificates.present.write() = Arc::new(followed);
        true
    }

    fn renew(&self) -> bool {
        let Source { config, domains } = self.source.lock().clone();
        let read = self.reload(&config, &domains);
        if let Err(error) = &read {
            warn!(%error, "cannot read the certificates");
        }
        read.is_ok()
    }
}

/// The certificates in use.
#[derive(Debug)]
struct Certificates {
    present: RwLock<Arc<Shown>>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.present.read().clone();
        shown.certified(hello.server_name())
    }
}

/// TLS 1.2 and 1.3; sessions are resumed by tickets, so that the server keeps nothing for clients that went away.
fn server_config(certificates: Arc<Certificates>, alpn: &[&[u8]]) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

pub(crate) fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, Error> {
    let wrong = |path: &Path, why: String| Error::Certificate { path: path.to_owned(), why };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(certificate, "holds no certificate in PEM form".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
    let signing =
        aws_lc_rs::sign::any_supported_type(&secret).map_err(|error| wrong(key, error.to_string()))?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) | Ok(()) => Ok(certified),
        Err(_) => Err(wrong(key, format!("is not the key of {}", certificate.display()))),
    }
}

/// How long a self-signed certificate holds, and so long before its end another one takes its place.
const HOLDS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The clocks of clients may be behind.
const SLACK: Duration = Duration::from_secs(24 * 3600);

/// The files of a self-signed ECDSA P-256 certificate, made if they are not there yet; near its end it is made anew, with
/// the same key.
pub(crate) fn self_signed(
    domain: &str,
    data_dir: &Path,
    now: SystemTime,
) -> Result<(PathBuf, PathBuf), Error> {
    let files = certificate::files_of(&TlsConfig::default(), domain, data_dir);
    let exists = files.certificate.exists() && files.key.exists();
    if exists && !certificate::inspect(&files).is_ok_and(|known| is_due(&known, now)) {
        return Ok((files.certificate, files.key));
    }
    let failed = |source| Error::SelfSigned { domain: domain.to_owned(), source };
    let wrong =
        |error: std::io::Error| Error::Certificate { path: files.key.clone(), why: error.to_string() };
    let key = match exists {
        true => KeyPair::from_pem(&fs::read_to_string(&files.key).map_err(wrong)?),
        false => KeyPair::generate(),
    };
    let key = key.map_err(failed)?;
    let made = describe(domain, now).and_then(|params| params.self_signed(&key)).map_err(failed)?;
    let written = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir.join("tls"))
        .and_then(|()| write(&files.key, &key.serialize_pem()))
        .and_then(|()| write(&files.certificate, &made.pem()));
    written.map_err(wrong)?;
    Ok((files.certificate, files.key))
}

fn is_due(known: &Certificate, now: SystemTime) -> bool {
    known.self_signed && known.not_after < now + RENEWED_BEFORE
}

fn describe(domain: &str, now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![certificate::on_the_wire(domain)])?;
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since.saturating_sub(SLACK);
    params.not_after = epoch + since + HOLDS - SLACK;
    Ok(params)
}

/// Written under another name first: a crash leaves no half of a file.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("starling-tls-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn a_domain_without_a_certificate_gets_one_that_stays() {
        let data_dir = directory("made");
        let domains = [BareJid::new("localhost").unwrap()];
        Tls::open(&TlsConfig::default(), &domains, &data_dir).unwrap();
        let (certificate, key) = (data_dir.join("tls/localhost.crt"), data_dir.join("tls/localhost.key"));
        let first = fs::read(&certificate).unwrap();
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        Tls::open(&TlsConfig::default(), &domains, &data_dir).unwrap();
        assert_eq!(fs::read(&certificate).unwrap(), first);
        fs::remove_dir_all(data_dir).unwrap();
    }

    #[test]
    fn a_domain_that_is_not_ascii_is_served_by_its_name_on_the_wire() {
        let data_dir = directory("idn");
        let domains = ["bücher.example", "127.0.0.1", "[::1]"].map(|domain| BareJid::new(domain).unwrap());
        let tls = Tls::open(&TlsConfig::default(), &domains, &data_dir).unwrap();
        assert!(tls.certificates.present.read().is_for("xn--bcher-kva.example"));
        for domain in &domains {
            let files = certificate::files_of(&TlsConfig::default(), domain.as_str(), &data_dir);
            let made = certificate::inspect(&files).unwrap();
            assert_eq!(made.refused(domain.as_str(), SystemTime::now()), None, "{made:?}");
        }
        fs::remove_dir_all(data_dir).unwrap();
    }

    #[test]
    fn a_self_signed_certificate_is_made_anew_in_time() {
        let data_dir = directory("anew");
        let now = SystemTime::now();
        let inspect =
            || certificate::inspect(&certificate::files_of(&TlsConfig::default(), "a.example", &data_dir));
        let (certificate, key) = self_signed("a.example", &data_dir, now).unwrap();
        let first = inspect().unwrap();
        assert!(first.self_signed && first.is_for("a.example"));
        assert!(first.not_before < now && first.not_after > now + RENEWED_BEFORE);
        assert!(first.not_after.duration_since(first.not_before).unwrap() <= HOLDS);
        let secret = fs::read(&key).unwrap();

        for (later, anew) in
            [(HOLDS / 2, false), (HOLDS - RENEWED_BEFORE - SLACK * 2, false), (HOLDS - SLACK * 2, true)]
        {
            let before = fs::read(&certificate).unwrap();
            self_signed("a.example", &data_dir, now + later).unwrap();
            assert_eq!(fs::read(&certificate).unwrap() != before, anew, "{later:?}");
            assert_eq!(fs::read(&key).unwrap(), secret);
        }

        assert!(inspect().unwrap().not_after > first.not_after + HOLDS / 2);
        read(&certificate, &key).unwrap();
        fs::remove_dir_all(data_dir).unwrap();
    }

    #[test]
    fn a_reload_that_fails_names_the_file_and_keeps_what_was() {
        let data_dir = directory("reload");
        let domains = [BareJid::new("localhost").unwrap()];
        let tls = Tls::open(&TlsConfig::default(), &domains, &data_dir).unwrap();
        let before = tls.certificates.present.read().clone();
        fs::write(data_dir.join("tls/localhost.key"), "nonsense").unwrap();
        let error = tls.reload(&TlsConfig::default(), &domains).unwrap_err();
        assert!(error.to_string().contains("localhost.key"), "{error}");
        assert!(Arc::ptr_eq(&before, &tls.certificates.present.read()));
        fs::remove_dir_all(data_dir).unwrap();
    }
}
