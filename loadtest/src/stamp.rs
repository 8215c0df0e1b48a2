//! What another one needs to know to do a run again: date, commit, machine, versions, limits.

use serde_json::{Value, json};
use std::process::Command;

/// Everything, for a result.
pub(crate) fn json() -> Value {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    json!({
        "date": said("date", &["+%FT%T%:z"]),
        "commit": commit(),
        "cpus": cpus().0,
        "cpu": cpus().1,
        "memory-mib": memory_mib(),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "system": system(),
        "loadtest": env!("CARGO_PKG_VERSION"),
        "optimised": !cfg!(debug_assertions),
        "file-descriptors": limit.current,
        "load-average": load_average(),
    })
}

/// In one line.
pub(crate) fn words() -> String {
    let (count, model) = cpus();
    format!(
        "Date {}, commit {}, {count} × {model}, {} MiB of memory, Linux {}.",
        said("date", &["+%F"]).unwrap_or_default(),
        commit(),
        memory_mib(),
        read("/proc/sys/kernel/osrelease").trim(),
    )
}

/// How busy the machine was in the last minute.
pub(crate) fn load_average() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

fn commit() -> String {
    let commit = said("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed = said("git", &["status", "--porcelain", "--untracked-files=no"]).is_some();
    if changed { format!("{commit} with changes") } else { commit }
}

fn cpus() -> (usize, String) {
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    (count, model.trim_start_matches([' ', '\t', ':']).to_owned())
}

fn memory_mib() -> u64 {
    let memory = read("/proc/meminfo");
    let kib: u64 =
        memory.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default();
    kib / 1024
}

fn system() -> String {
    let release = read("/etc/os-release");
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("unknown").trim_matches('"').to_owned()
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|text| !text.is_empty())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
