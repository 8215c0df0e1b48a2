//! What a process has of the system: memory and descriptors, which are to be back where they were when nobody is there any more.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// How much more memory than before a process may keep: its allocator gives back what it likes.
const SLACK_KIB: u64 = 64 * 1024;

/// Of one process, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// How many descriptors are open.
    pub descriptors: usize,
    /// How much memory it has, in KiB.
    pub resident: u64,
}

impl Usage {
    /// What that process has.
    pub fn of(pid: u32) -> Result<Usage> {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        Ok(Usage { descriptors, resident: resident.context("no VmRSS")? })
    }
}

/// Which processes have more than they had `before`, and of what. One that was not there has nothing to be compared with.
pub fn excess(before: &BTreeMap<String, Usage>, now: &BTreeMap<String, Usage>) -> Vec<String> {
    let both = now.iter().filter_map(|(name, now)| Some((name, now, before.get(name)?)));
    both.flat_map(|(name, now, before)| {
        let (descriptors, resident) =
            (now.descriptors > before.descriptors, now.resident > before.resident + SLACK_KIB);
        let said = |is_more: bool, what: &str, before: u64, now: u64| {
            is_more.then(|| format!("{name} had {before} {what} and has {now}"))
        };
        [
            said(descriptors, "descriptors", before.descriptors as u64, now.descriptors as u64),
            said(resident, "KiB of memory", before.resident, now.resident),
        ]
    })
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(descriptors: usize, resident: u64) -> BTreeMap<String, Usage> {
        BTreeMap::from([("router-0".to_owned(), Usage { descriptors, resident })])
    }

    #[test]
    fn a_descriptor_more_and_much_memory_more_are_named() {
        let before = one(30, 20_000);
        assert_eq!(excess(&before, &one(30, 20_000 + SLACK_KIB)), [""; 0]);
        assert_eq!(excess(&before, &one(29, 1)), [""; 0]);
        assert_eq!(
            excess(&before, &one(31, 20_001 + SLACK_KIB)),
            ["router-0 had 30 descriptors and has 31", "router-0 had 20000 KiB of memory and has 85537"]
        );
    }

    #[test]
    fn a_descriptor_that_is_opened_is_counted() {
        let before = Usage::of(std::process::id()).unwrap();
        let files: Vec<_> = (0..40).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        let after = Usage::of(std::process::id()).unwrap();
        drop(files);
        assert!(after.descriptors >= before.descriptors + 20, "{before:?}, then {after:?}");
        assert!(before.resident > 100, "{before:?}");
    }
}
