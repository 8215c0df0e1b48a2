//! How much memory this process may have: what its control group allows, or what the machine has.

use std::fs;
use std::path::Path;

/// The part of it that what waits for clients may take in a connection manager, and the logs that a session router keeps in mind. The
/// rest is for sockets, TLS, and what is under way.
const PART: u64 = 4;

/// A container may have less than its machine. Each hierarchy as systems mount it: the controller's name in `/proc/self/cgroup`, where
/// it is mounted, and the file with the limit (cgroups(7); kernel documentation, "Memory Resource Controller", "Control Group v2").
const HIERARCHIES: [(&str, &str, &str); 2] =
    [("memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("", "sys/fs/cgroup", "memory.max")];

/// How many bytes each of them may take.
pub(crate) fn share() -> usize {
    let allowed = allowed(Path::new("/")).unwrap_or(u64::MAX);
    usize::try_from(allowed / PART).unwrap_or(usize::MAX)
}

/// The least of all limits that bind this process, as far as they can be read below `root`.
fn allowed(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let of_groups = HIERARCHIES.into_iter().filter_map(|(controller, mount, file)| {
        let own = groups.lines().find_map(|line| path_of(line, controller))?;
        limit(&root.join(mount), own, file)
    });
    of_groups.chain(of_machine(root)).min()
}

/// The group in a line of `/proc/self/cgroup`, such as `9:memory:/kubepods/burstable/pod1` or `0::/system.slice/starling.service`.
fn path_of<'a>(line: &'a str, controller: &str) -> Option<&'a str> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    controllers.split(',').any(|one| one == controller).then_some(path)
}

/// The least limit of the group and of those around it. In a container its own group is often mounted as the root: then what is named
/// is not there, and the root says it.
fn limit(mount: &Path, own: &str, file: &str) -> Option<u64> {
    let group = mount.join(own.trim_start_matches('/'));
    let around = group.ancestors().take_while(|group| group.starts_with(mount));
    around.filter_map(|group| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()).min()
}

fn of_machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        allowed(root.path())
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       24000000 kB\nMemFree:  1 kB\n");

    #[test]
    fn a_control_group_is_obeyed_where_it_is_the_narrowest() {
        let v1 = ("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/pods/one\n0::/\n");
        let v2 = ("proc/self/cgroup", "0::/pods/one\n");
        let none = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        let one = |limit| ("sys/fs/cgroup/memory/pods/one/memory.limit_in_bytes", limit);
        assert_eq!(machine(&[MEMINFO]), Some(24_576_000_000));
        assert_eq!(machine(&[MEMINFO, v1, none]), Some(24_576_000_000));
        assert_eq!(machine(&[MEMINFO, v1, none, one("268435456\n")]), Some(268_435_456));
        let max = ("sys/fs/cgroup/pods/one/memory.max", "max\n");
        let around = ("sys/fs/cgroup/pods/memory.max", "1073741824\n");
        assert_eq!(machine(&[MEMINFO, v2, max]), Some(24_576_000_000));
        assert_eq!(machine(&[MEMINFO, v2, max, around]), Some(1_073_741_824));
    }

    #[test]
    fn a_container_sees_its_group_as_the_root() {
        let named = ("proc/self/cgroup", "0::/kubepods.slice/pod1/abc\n");
        let own = ("sys/fs/cgroup/memory.max", "536870912\n");
        assert_eq!(machine(&[MEMINFO, named, own]), Some(536_870_912));
        let named = ("proc/self/cgroup", "3:memory:/docker/abc\n");
        let own = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
        assert_eq!(machine(&[MEMINFO, named, own]), Some(536_870_912));
    }

    #[test]
    fn where_nothing_can_be_read_nothing_is_limited() {
        assert_eq!(machine(&[]), None);
    }
}
