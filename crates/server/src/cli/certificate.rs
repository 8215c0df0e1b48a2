//! `starling certificate`: certificates by which the nodes of a cluster know each other, of an authority of its own.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use starling_rpc::Role;

use super::say;
use crate::quickstart::write_secret;

/// A machine whose clock is behind believes them too.
const SLACK: Duration = Duration::from_secs(24 * 3600);
const DAY: u64 = 24 * 3600;

/// Make the certificate of a node, signed by the cluster's own authority.
///
/// The authority is made where there is none. `authority.key` is needed only here: keep it off the nodes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What the node is called; its files are NAME.crt and NAME.key.
    name: String,
    /// What it may do: connection-manager, session-router, or both with a comma between.
    #[arg(long, value_name = "ROLES", value_delimiter = ',', required = true)]
    roles: Vec<Role>,
    /// Where authority.crt and authority.key are, and where the node's files go.
    #[arg(long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// How long the node's certificate holds. Nodes notice a new one by themselves.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { name, roles, directory, days } = arguments;
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "-._".contains(sign);
    ensure!(
        name.chars().all(is_plain) && !name.starts_with('.') && name != "authority",
        "{name:?} cannot be the name of a file here: letters, digits, `-`, `.` and `_`"
    );
    std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    let issuer = authority(directory)?;
    let mut params = valid_for(Duration::from_secs(days * DAY))?;
    params.distinguished_name.push(DnType::CommonName, name.as_str());
    for role in roles {
        params.subject_alt_names.push(SanType::URI(role.uri().try_into()?));
    }
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    let file = |extension: &str| directory.join(format!("{name}.{extension}"));
    put(&file("key"), &key.serialize_pem())?;
    put(&file("crt"), &certificate.pem())?;
    say(&format!("{} and {}, for {days} days", file("crt").display(), file("key").display()));
    Ok(ExitCode::SUCCESS)
}

/// Made anew it would not be the one that nodes believe: what is there is used.
fn authority(directory: &Path) -> Result<Issuer<'static, KeyPair>> {
    let (key_file, certificate_file) = (directory.join("authority.key"), directory.join("authority.crt"));
    let mut params = valid_for(Duration::from_secs(3650 * DAY))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, "Starling cluster");
    let key = if key_file.exists() {
        let kept = std::fs::read_to_string(&key_file);
        let kept = kept.with_context(|| format!("reading {}", key_file.display()))?;
        KeyPair::from_pem(&kept).with_context(|| format!("{} holds no key", key_file.display()))?
    } else {
        ensure!(!certificate_file.exists(), "{} is there without its key", certificate_file.display());
        KeyPair::generate()?
    };
    if !certificate_file.exists() {
        put(&key_file, &key.serialize_pem())?;
        put(&certificate_file, &params.self_signed(&key)?.pem())?;
        say(&format!("{}: an authority of this cluster's own", certificate_file.display()));
    }
    Ok(Issuer::new(params, key))
}

fn valid_for(time: Duration) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let (epoch, now) = (rcgen::date_time_ymd(1970, 1, 1), SystemTime::now().duration_since(UNIX_EPOCH)?);
    params.not_before = epoch + now.saturating_sub(SLACK);
    params.not_after = epoch + now + time;
    Ok(params)
}

fn put(path: &Path, text: &str) -> Result<()> {
    write_secret(path, text.as_bytes()).with_context(|| format!("writing {}", path.display()))
}
