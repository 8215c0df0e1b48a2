//! What a certificate says of itself, for whoever looks after it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use humantime::format_rfc3339_seconds;
use rustls::sign::CertifiedKey;
use tracing::warn;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::config::{CertificateFiles, TlsConfig};
use crate::error::Error;
use crate::tls;

/// A certificate that fits its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// From when it holds.
    pub not_before: SystemTime,
    /// Until when it holds.
    pub not_after: SystemTime,
    /// For which domains, in lower case and ASCII, and for which addresses; `*.` may lead.
    pub names: Vec<String>,
    /// Whether it vouches for itself: clients ask their users about it.
    pub self_signed: bool,
}

impl Certificate {
    /// Whether it is for `domain` (RFC 6125 §6.4: a wildcard stands for one whole label).
    pub fn is_for(&self, domain: &str) -> bool {
        let domain = on_the_wire(domain);
        let rest = domain.split_once('.').map(|(_, rest)| rest);
        self.names
            .iter()
            .any(|name| *name == domain || name.strip_prefix("*.").is_some_and(|parent| Some(parent) == rest))
    }
    /// Why clients would refuse it at `now`, if they would: whether they trust its issuer is not looked at.
    pub fn refused(&self, domain: &str, now: SystemTime) -> Option<Refused> {
        if now < self.not_before {
            Some(Refused::Early)
        } else if now >= self.not_after {
            Some(Refused::Expired)
        } else if !self.is_for(domain) {
            let names = if self.names.is_empty() { "no domain".to_owned() } else { self.names.join(", ") };
            Some(Refused::Other(names))
        } else {
            None
        }
    }
}

/// Why clients refuse a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// By the clock of this machine.
    #[error("it does not hold yet")]
    Early,
    /// By the clock of this machine.
    #[error("it has expired")]
    Expired,
    /// For these domains.
    #[error("it is for {0}")]
    Other(String),
}

impl Refused {
    /// What the operator can do.
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Early => "wait, or check the clock",
            Self::Expired => "get a new one: it is shown within seconds",
            Self::Other(_) => "get one for this domain",
        }
    }
}

/// The files of a domain, if they can be used: readable, of one pair.
pub fn check_files(files: &CertificateFiles) -> Result<(), Error> {
    tls::read(&files.certificate, &files.key).map(|_| ())
}

/// A domain as certificates and the SNI of clients have it: in A-labels, where an address has U-labels (RFC 7622 §3.2.1, RFC 5280
/// §7.2), and an IP address without brackets.
pub(crate) fn on_the_wire(domain: &str) -> String {
    let bare = domain.trim_matches(['[', ']']);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => idna::domain_to_ascii(bare).unwrap_or_else(|_| bare.to_ascii_lowercase()),
    }
}

/// Where the certificate and key of a domain are: as configured, or where the self-signed ones lie.
pub fn files_of(config: &TlsConfig, domain: &str, data_dir: &Path) -> CertificateFiles {
    let own = |ending: &str| -> PathBuf { data_dir.join("tls").join(format!("{domain}.{ending}")) };
    let configured = config.certificates.get(domain).cloned();
    configured.unwrap_or_else(|| CertificateFiles { certificate: own("crt"), key: own("key") })
}

/// Reads what the first certificate of the file says.
pub fn inspect(files: &CertificateFiles) -> Result<Certificate, Error> {
    describe(&tls::read(&files.certificate, &files.key)?, &files.certificate)
}

/// The same of a pair that was read from there.
pub(crate) fn describe(pair: &CertifiedKey, from: &Path) -> Result<Certificate, Error> {
    let wrong = |why: String| Error::Certificate { path: from.to_owned(), why };
    let first = pair.cert.first().ok_or_else(|| wrong("holds no certificate".to_owned()))?;
    let (_, parsed) = parse_x509_certificate(first).map_err(|error| wrong(error.to_string()))?;
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|names| &names.value.general_names);
    Ok(Certificate {
        not_before: at(parsed.validity().not_before.timestamp()),
        not_after: at(parsed.validity().not_after.timestamp()),
        names: names
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                GeneralName::IPAddress(octets) => address(octets),
                _ => None,
            })
            .collect(),
        self_signed: parsed.issuer() == parsed.subject(),
    })
}

/// RFC 5280 §4.2.1.6: four octets or sixteen.
fn address(octets: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let address = four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
    address.ok().map(|address| address.to_string())
}

/// Says in the log that clients will refuse the certificate of a domain: the server takes it all the same, for one whose renewal
/// is late must not go away.
pub(crate) fn warn_if_refused(
    domain: &str,
    files: &CertificateFiles,
    certificate: &Certificate,
    now: SystemTime,
) {
    let Some(why) = certificate.refused(domain, now) else { return };
    warn!(
        event = "certificate_refused",
        domain,
        path = %files.certificate.display(),
        %why,
        since = %format_rfc3339_seconds(certificate.not_before),
        until = %format_rfc3339_seconds(certificate.not_after),
        mend = why.mend(),
        "clients will refuse this certificate"
    );
}

fn at(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str]) -> Certificate {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Certificate { not_before: UNIX_EPOCH, not_after: UNIX_EPOCH, names, self_signed: false }
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let wild = certificate(&["*.example.org"]);
        assert!(wild.is_for("chat.example.org"));
        assert!(!wild.is_for("example.org") && !wild.is_for("a.chat.example.org"));
        assert!(certificate(&["example.org"]).is_for("Example.ORG"));
    }

    #[test]
    fn a_domain_is_compared_as_it_is_on_the_wire() {
        assert!(certificate(&["xn--bcher-kva.example"]).is_for("bücher.example"));
        assert!(certificate(&["*.xn--bcher-kva.example"]).is_for("chat.bücher.example"));
        assert!(!certificate(&["bcher.example"]).is_for("bücher.example"));
        assert!(certificate(&["127.0.0.1"]).is_for("127.0.0.1"));
        assert!(certificate(&["2001:db8::1"]).is_for("[2001:DB8:0::1]"));
    }
}
