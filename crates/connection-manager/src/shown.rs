//! The certificates that are shown, by domain, and the files that they came from: what has changed there is shown from then on.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;
use starling_jid::BareJid;
use tracing::{info, warn};

use crate::certificate;
use crate::config::{CertificateFiles, TlsConfig};
use crate::error::Error;
use crate::tls::{read, self_signed};

/// The certificates of all domains; those of the first one are for clients that name none.
#[derive(Debug)]
pub(crate) struct Shown {
    domains: Vec<Domain>,
    by_name: HashMap<String, usize>,
}

/// What is shown for one domain.
#[derive(Debug, Clone)]
struct Domain {
    name: String,
    files: CertificateFiles,
    /// As they were when they were read.
    read: State,
    /// As they were when they could not be used.
    unusable: Option<State>,
    certified: Arc<CertifiedKey>,
    until: Option<SystemTime>,
}

/// When each file was written, how long it is, and which one: a link may lead to another.
type State = [Option<(SystemTime, u64, u64)>; 2];

fn state(files: &CertificateFiles) -> State {
    [&files.certificate, &files.key].map(|path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len(), found.ino()))
    })
}

impl Shown {
    /// Reads the files of all `domains`; one without any gets a self-signed certificate under `data_dir/tls`, and one near its end
    /// another.
    pub(crate) fn load(config: &TlsConfig, domains: &[BareJid], data_dir: &Path) -> Result<Shown, Error> {
        let now = SystemTime::now();
        let files_of = |name: &str| match config.certificates.get(name) {
            Some(files) => Ok(files.clone()),
            None => self_signed(name, data_dir, now)
                .map(|(certificate, key)| CertificateFiles { certificate, key }),
        };
        let load = |domain: &BareJid| Domain::load(domain.as_str(), files_of(domain.as_str())?, now);
        Ok(Shown::of(domains.iter().map(load).collect::<Result<_, _>>()?))
    }

    fn of(domains: Vec<Domain>) -> Shown {
        let name = |(n, domain): (usize, &Domain)| (certificate::on_the_wire(&domain.name), n);
        let by_name = domains.iter().enumerate().map(name).collect();
        Shown { domains, by_name }
    }

    /// The same with what has changed in the files since; `None` where nothing has. Files that cannot be used, because half of them is
    /// not written yet or because they are broken, change nothing but that they are warned of, once.
    pub(crate) fn followed(&self) -> Option<Shown> {
        let now = SystemTime::now();
        let (mut domains, mut is_news) = (self.domains.clone(), false);
        for domain in &mut domains {
            is_news |= domain.follow(now);
        }
        is_news.then(|| Shown::of(domains))
    }

    /// For a client that names that domain, or none.
    pub(crate) fn certified(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = name.and_then(|name| self.by_name.get(&name.to_ascii_lowercase()));
        self.domains.get(named.copied().unwrap_or(0)).map(|domain| domain.certified.clone())
    }

    #[cfg(test)]
    pub(crate) fn is_for(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Until when each one holds.
    pub(crate) fn expiries(&self) -> Vec<(String, SystemTime)> {
        let expiry = |domain: &Domain| Some((domain.name.clone(), domain.until?));
        self.domains.iter().filter_map(expiry).collect()
    }
}

impl Domain {
    fn load(name: &str, files: CertificateFiles, now: SystemTime) -> Result<Domain, Error> {
        let before = state(&files); // before they are read: a change meanwhile is seen the next time
        let certified = Arc::new(read(&files.certificate, &files.key)?);
        let said = certificate::describe(&certified, &files.certificate).ok();
        if let Some(said) = &said {
            certificate::warn_if_refused(name, &files, said, now);
        }
        let until = said.map(|said| said.not_after);
        Ok(Domain { name: name.to_owned(), files, read: before, unusable: None, certified, until })
    }

    /// Looks at the files; whether there is news.
    fn follow(&mut self, now: SystemTime) -> bool {
        let present = state(&self.files);
        if present == self.read {
            return self.unusable.take().is_some(); // as it was before
        }
        match Domain::load(&self.name, self.files.clone(), now) {
            Ok(newer) => {
                info!(domain = self.name, "the certificate of a domain was read again");
                *self = newer;
                true
            }
            Err(_) if self.unusable == Some(present) => false,
            Err(error) => {
                warn!(event = "certificate_kept", domain = self.name, %error, "the files of a certificate cannot be used, the former one holds");
                self.unusable = Some(present);
                true
            }
        }
    }
}
