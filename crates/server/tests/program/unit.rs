//! The systemd unit.

use std::path::Path;
use std::process::Command;

use crate::starling::PROGRAM;

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd/starling.service");
    let text = std::fs::read_to_string(unit).unwrap();
    assert!(text.contains("\nExecStart=/usr/local/bin/starling run\n"), "{text}");
    assert!(text.contains("\nEnvironment=STARLING_DATA_DIR=%S/starling\n"), "{text}");
    assert!(
        text.contains("\nRestartPreventExitStatus=64\n")
            && text.contains("\nExecReload=/bin/kill -HUP $MAINPID\n")
    );
    let families = text.lines().find_map(|line| line.strip_prefix("RestrictAddressFamilies=")).unwrap();
    assert!(
        families.split(' ').any(|family| family == "AF_NETLINK"),
        "the dead are asked for by it: {families}"
    );
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().join("starling.service");
    std::fs::write(&here, text.replace("/usr/local/bin/starling", PROGRAM)).unwrap();
    // Where there is no systemd, what it would say is not known.
    let Ok(verified) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&here).output()
    else {
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    let about_us: Vec<&str> = said.lines().filter(|line| line.contains("starling")).collect();
    assert!(about_us.is_empty(), "{about_us:#?}");
}
