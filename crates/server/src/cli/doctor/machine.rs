//! The machine: clock, file descriptors, ports, disk and store.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::Access;
use serde_json::{Value, json};
use starling_connection_manager::{Descriptors, mend_of_bind};
use starling_ports::clock::SystemClock;
use starling_ports::ids::NodeId;
use starling_store_embedded::Store;

use super::Finding;
use crate::cli::{block_on, ctl};
use crate::clock;
use crate::config::Config;

/// Fewer clients than this are hardly meant.
const FEW_CLIENTS: u64 = 1000;
/// Less room than this is used up before somebody looks again.
const LITTLE_ROOM: u64 = 256 << 20;

/// Is the clock right, as far as one machine can tell?
pub(super) fn clock(data_dir: &Path) -> Finding {
    let synchronised = match is_synchronised() {
        Some(true) => "it is synchronised",
        Some(false) => "the system says that it is not synchronised",
        None => "nothing here says whether it is synchronised",
    };
    let trouble = clock::trouble(data_dir, SystemTime::now());
    let trouble = trouble.or_else(|| (is_synchronised() == Some(false)).then(|| "it may drift".to_owned()));
    Finding::of("clock", synchronised, trouble.map(|trouble| (trouble, clock::MEND)))
}

/// As systemd sees it; `None` where it cannot be asked.
fn is_synchronised() -> Option<bool> {
    let asked = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
    match String::from_utf8_lossy(&asked.ok()?.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// How many clients may come?
pub(super) fn descriptors() -> Finding {
    let Descriptors(limit) = Descriptors::raise();
    let Some(clients) = Descriptors(limit).clients() else {
        return Finding::sound("file descriptors", "no limit");
    };
    let what = format!("{} allow {clients} clients", limit.unwrap_or_default());
    let mend = "raise it: LimitNOFILE= in the systemd unit, or `ulimit -Hn`";
    let trouble = (clients < FEW_CLIENTS).then(|| ("that is few".to_owned(), mend));
    Finding::of("file descriptors", what, trouble)
}

/// Of a running server its own ports are tried; else they must be free, and the store sound.
pub(super) fn ports_and_store(config: &Config) -> Vec<Finding> {
    let socket = config.data_dir.join("control.sock");
    let asked = block_on(ctl::ask(&socket, &json!({"op": "status"})));
    let mut findings = match &asked {
        Ok(status) => answering(status),
        Err(_) => free(config),
    };
    findings.push(room(&config.data_dir));
    findings.extend(rights(&config.data_dir));
    if asked.is_ok() {
        findings.push(Finding::sound("store", "in use by the running server"));
    } else {
        findings.extend(store(config));
    }
    findings
}

fn answering(status: &Value) -> Vec<Finding> {
    let lists = status.get("addresses").and_then(Value::as_object).into_iter().flat_map(|all| all.values());
    let addresses = lists.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    let check = |address: &str| {
        let mut address: SocketAddr = address.parse().ok()?;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let reached = TcpStream::connect_timeout(&address, Duration::from_secs(2));
        let mend = "see the log of the server; a firewall may drop what is meant for it";
        let trouble = reached.err().map(|error| (error.to_string(), mend));
        Some(Finding::of("port", format!("{address} of the running server"), trouble))
    };
    addresses.filter_map(check).collect()
}

fn free(config: &Config) -> Vec<Finding> {
    let check = |(key, address): (&str, SocketAddr)| {
        let refused = TcpListener::bind(address).err();
        let mend = refused.as_ref().map(|error| mend_of_bind(address, error, &format!("in {key}")));
        let trouble = refused.map(|error| error.to_string()).zip(mend.as_deref());
        Finding::of("port", address.to_string(), trouble)
    };
    config.addresses().into_iter().map(check).collect()
}

fn room(data_dir: &Path) -> Finding {
    let there = data_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    match rustix::fs::statvfs(there) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let trouble =
                (free < LITTLE_ROOM).then(|| ("that is little".to_owned(), "make room on that disk"));
            Finding::of("disk", format!("{} MiB are free for {}", free >> 20, data_dir.display()), trouble)
        }
        Err(error) => Finding::trouble(
            "disk",
            data_dir.display().to_string(),
            error.to_string(),
            "set data-dir to a directory that this user may write",
        ),
    }
}

/// Whether this user may write what is kept; a file system that is read-only takes nothing from root either.
fn rights(data_dir: &Path) -> Option<Finding> {
    let kept = [data_dir.to_owned(), data_dir.join("store")];
    let there = kept.iter().rev().find(|path| path.exists())?;
    let what = there.display().to_string();
    let error = rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).err();
    let mend = "give the directory to the server's user, or mount its disk for writing";
    Some(match error {
        None => Finding::sound("rights", format!("{what} can be written")),
        Some(error) => Finding::trouble("rights", what, format!("it cannot be written: {error}"), mend),
    })
}

/// Whether it opens, and whether the clock fits to what it has seen.
fn store(config: &Config) -> Vec<Finding> {
    let directory = config.store().data_dir;
    let what = directory.display().to_string();
    if !directory.exists() {
        return vec![Finding::sound("store", format!("{what} will be made on the first start"))];
    }
    match Store::open(&config.store(), Arc::new(SystemClock), NodeId::default()) {
        Ok(store) => {
            let trouble = clock::trouble_of_store(&store);
            store.close();
            let clock = trouble.map(|trouble| Finding::trouble("clock", &what, trouble, clock::MEND));
            [Finding::sound("store", format!("{what} opens"))].into_iter().chain(clock).collect()
        }
        Err(error) => vec![Finding::trouble("store", what, error.reason, error.mend)],
    }
}
