//! What a certificate says of itself, for whoever looks after it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    /// For which domains, in lower case; `*.` may lead.
    pub names: Vec<String>,
    /// Whether it vouches for itself: clients ask their users about it.
    pub self_signed: bool,
}

impl Certificate {
    /// Whether it is for `domain` (RFC 6125 §6.4: a wildcard stands for one whole label).
    pub fn is_for(&self, domain: &str) -> bool {
        let rest = domain.split_once('.').map(|(_, rest)| rest);
        self.names.iter().any(|name| {
            name.eq_ignore_ascii_case(domain)
                || name.strip_prefix("*.").is_some_and(|parent| Some(parent) == rest)
        })
    }
}

/// The files of a domain, if they can be used: readable, of one pair.
pub fn check_files(files: &CertificateFiles) -> Result<(), Error> {
    tls::read(&files.certificate, &files.key).map(|_| ())
}

/// Where the certificate and key of a domain are: as configured, or where the self-signed ones lie.
pub fn files_of(config: &TlsConfig, domain: &str, data_dir: &Path) -> CertificateFiles {
    let own = |ending: &str| -> PathBuf { data_dir.join("tls").join(format!("{domain}.{ending}")) };
    let configured = config.certificates.get(domain).cloned();
    configured.unwrap_or_else(|| CertificateFiles { certificate: own("crt"), key: own("key") })
}

/// Reads what the first certificate of the file says.
pub fn inspect(files: &CertificateFiles) -> Result<Certificate, Error> {
    let pair = tls::read(&files.certificate, &files.key)?;
    let wrong = |why: String| Error::Certificate { path: files.certificate.clone(), why };
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
                _ => None,
            })
            .collect(),
        self_signed: parsed.issuer() == parsed.subject(),
    })
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
}
