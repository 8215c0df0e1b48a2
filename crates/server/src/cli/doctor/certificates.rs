//! Certificates: do they fit their keys and domains, and for how long?

use std::time::{Duration, SystemTime};

use starling_connection_manager::{files_of, inspect};

use super::Finding;
use crate::config::Config;

const CHECK: &str = "certificate";
const DAY: u64 = 24 * 3600;
/// Whoever has so little time left has forgotten it.
const SOON: Duration = Duration::from_secs(14 * DAY);

pub(super) fn check(config: &Config) -> Vec<Finding> {
    config.domains.iter().map(|domain| one(config, domain)).collect()
}

fn one(config: &Config, domain: &str) -> Finding {
    let files = files_of(&config.tls, domain, &config.data_dir);
    let is_configured = config.tls.certificates.contains_key(domain);
    if !is_configured && !files.certificate.exists() {
        let what = format!(
            "{domain}: none is configured; the first start makes a self-signed one, clients will ask about it"
        );
        return Finding::sound(CHECK, what);
    }
    let certificate = match inspect(&files) {
        Ok(certificate) => certificate,
        Err(error) => {
            let mend = "put a certificate and its key there, in PEM form, or remove both files";
            return Finding::trouble(CHECK, domain, error.to_string(), mend);
        }
    };
    let now = SystemTime::now();
    let left = certificate.not_after.duration_since(now).unwrap_or_default();
    let what = format!(
        "{domain}: {} holds for {} more days{}",
        files.certificate.display(),
        left.as_secs() / DAY,
        if certificate.self_signed { "; it is self-signed, clients will ask about it" } else { "" }
    );
    let soon = || ("it expires soon".to_owned(), "get a new one: the server shows it within seconds");
    let refused = certificate.refused(domain, now).map(|refused| (refused.to_string(), refused.mend()));
    let trouble = refused.or_else(|| (left < SOON).then(soon));
    Finding::of(CHECK, what, trouble)
}
