//! `starling doctor`: what stands in the way on this machine, each finding with its mend.

mod certificates;
mod dns;
mod machine;
mod resolver;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use super::{Place, say};
use crate::config::{ConfigError, EXIT_USAGE};
use resolver::Resolver;

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// Which part of the examination.
    check: &'static str,
    /// What was looked at, and what was seen.
    what: String,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
    /// What the operator can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn sound(check: &'static str, what: impl Into<String>) -> Finding {
        Finding { check, what: what.into(), trouble: None, mend: None }
    }
    fn trouble(
        check: &'static str,
        what: impl Into<String>,
        trouble: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        Finding { check, what: what.into(), trouble: Some(trouble.into()), mend: Some(mend.into()) }
    }
    /// Sound if there is no trouble.
    fn of(check: &'static str, what: impl Into<String>, trouble: Option<(String, &str)>) -> Finding {
        match trouble {
            None => Finding::sound(check, what),
            Some((trouble, mend)) => Finding::trouble(check, what, trouble, mend),
        }
    }
}

/// Looks at everything; without a configuration that can be used, at what needs none.
pub(super) fn run(place: &Place, as_json: bool, nameserver: Option<SocketAddr>) -> Result<ExitCode> {
    let (mut findings, code) = match place.load() {
        Ok(config) => {
            let mut findings = vec![Finding::sound("configuration", "it can be used")];
            findings.extend(machine::ports_and_store(&config));
            findings.extend(certificates::check(&config));
            let resolver = nameserver.map_or_else(Resolver::system, Resolver::of);
            findings.extend(dns::check(&config, &resolver));
            findings.push(machine::clock(&config.data_dir));
            (findings, 1)
        }
        Err(ConfigError { place, why, mend }) => {
            let mend = mend.unwrap_or_else(|| "`starling config doc` lists all keys".to_owned());
            (vec![Finding::trouble("configuration", place, why, mend)], EXIT_USAGE)
        }
    };
    findings.push(machine::descriptors());
    let sound = findings.iter().all(|finding| finding.trouble.is_none());
    if as_json {
        say(&json!({"sound": sound, "findings": findings}).to_string());
    } else {
        findings.iter().for_each(show);
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(code) })
}

fn show(finding: &Finding) {
    let Finding { check, what, trouble, mend } = finding;
    match trouble {
        None => say(&format!("ok       {check}: {what}")),
        Some(trouble) => {
            say(&format!("TROUBLE  {check}: {what}: {trouble}"));
            say(&format!("         mend: {}", mend.as_deref().unwrap_or_default()));
        }
    }
}
