//! `starling doctor`: what stands in the way on this machine, each finding with its mend.

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::json;
use starling_ports::clock::SystemClock;
use starling_ports::ids::NodeId;
use starling_store_embedded::Store;

use super::{Place, say};
use crate::config::Config;

/// One thing looked at.
struct Finding {
    what: String,
    trouble: Option<String>,
}

pub(super) fn run(place: &Place, as_json: bool) -> Result<ExitCode> {
    let config = place.load()?;
    let running = std::os::unix::net::UnixStream::connect(config.data_dir.join("control.sock")).is_ok();
    let mut findings =
        vec![Finding { what: "configuration".to_owned(), trouble: None }, clock(), descriptors()];
    if running {
        findings
            .push(Finding { what: "ports and store: in use by a running server".to_owned(), trouble: None });
    } else {
        findings.extend(ports(&config));
        findings.push(store(&config));
    }
    findings.extend(certificates(&config));
    let sound = findings.iter().all(|finding| finding.trouble.is_none());
    if as_json {
        let list: Vec<_> = findings
            .iter()
            .map(|finding| json!({"what": finding.what, "trouble": finding.trouble}))
            .collect();
        say(&json!({"sound": sound, "findings": list}).to_string());
    } else {
        for finding in &findings {
            match &finding.trouble {
                None => say(&format!("ok       {}", finding.what)),
                Some(trouble) => say(&format!("TROUBLE  {}: {trouble}", finding.what)),
            }
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A clock before this program was written is wrong.
fn clock() -> Finding {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let trouble =
        (seconds < 1_790_000_000).then(|| "it is in the past; set it, or run an NTP client".to_owned());
    Finding { what: "clock".to_owned(), trouble }
}

fn descriptors() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let clients = limit.map_or(u64::MAX, |limit| limit.saturating_sub(100));
    let trouble =
        (clients < 1000).then(|| "raise it: LimitNOFILE= in the systemd unit, or ulimit -n".to_owned());
    let shown = limit.map_or("no limit".to_owned(), |limit| format!("{limit}, enough for {clients} clients"));
    Finding { what: format!("open files: {shown}"), trouble }
}

fn ports(config: &Config) -> Vec<Finding> {
    let listen = &config.listen;
    let all =
        [&listen.c2s, &listen.direct_tls, &listen.plain, &listen.http, &listen.https, &listen.plain_http];
    let addresses = all.into_iter().flatten().copied().chain([config.admin.listen]);
    let check = |address| {
        let trouble = TcpListener::bind(address)
            .err()
            .map(|error| format!("{error}; stop what uses it, or set another under [listen]"));
        Finding { what: format!("port {address}"), trouble }
    };
    addresses.map(check).collect()
}

fn store(config: &Config) -> Finding {
    let what = format!("store {}", config.store().data_dir.display());
    if !config.store().data_dir.exists() {
        return Finding { what: format!("{what}: will be made"), trouble: None };
    }
    match Store::open(&config.store(), Arc::new(SystemClock), NodeId::default()) {
        Ok(store) => {
            store.close();
            Finding { what, trouble: None }
        }
        Err(error) => Finding { what, trouble: Some(error.to_string()) },
    }
}

fn certificates(config: &Config) -> Vec<Finding> {
    let check = |domain: &String| match config.tls.certificates.get(domain) {
        None => Finding {
            what: format!(
                "certificate of {domain}: self-signed, clients will ask; set [tls.certificates.\"{domain}\"]"
            ),
            trouble: None,
        },
        Some(files) => {
            let missing =
                [&files.certificate, &files.key].into_iter().find(|path| std::fs::metadata(path).is_err());
            let trouble = missing.map(|path| format!("{} cannot be read", path.display()));
            Finding { what: format!("certificate of {domain}"), trouble }
        }
    };
    config.domains.iter().map(check).collect()
}
