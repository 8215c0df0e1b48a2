//! What commands end with is what `--help` and `docs/reference/cli.md` say.

use std::path::Path;

use crate::starling::{PORTS, starling, starling_in};

/// The codes that the help lists.
fn listed(help: &str) -> Vec<i32> {
    let table = help.split("Exit codes:").nth(1).unwrap();
    table.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

#[test]
fn every_code_that_is_listed_is_met_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (good, bad) = (directory.path().join("good.toml"), directory.path().join("bad.toml"));
    std::fs::write(&good, "domains = ['localhost']\n").unwrap();
    std::fs::write(&bad, "domain = 1\n").unwrap();
    std::fs::create_dir_all(directory.path().join("broken")).unwrap();
    std::fs::write(directory.path().join("broken/store"), "not a directory").unwrap();
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let mut met = Vec::new();
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["config", "check", "--config", good], 0),
        (&["config", "dump"], 0),
        (&["doctor", "--config", good, "--data-dir", "none"], 0),
        (&["ctl", "--data-dir", "none", "status"], 1),
        (&["ctl", "--data-dir", "none", "--json", "status"], 1),
        (&["store", "check", "--data-dir", "none"], 1),
        (&["store", "check", "--data-dir", "none", "--json"], 1),
        (&["store", "backup", "--data-dir", "none", "to"], 1),
        (&["store", "restore", "--data-dir", "none", "from"], 1),
        (&["doctor", "--data-dir", "broken"], 1),
        (&["run", "--data-dir", "broken"], 1),
        (&["start"], 2),
        (&["run", "--quick"], 2),
        (&["ctl", "user", "list", "--limit", "0"], 2),
        (&["config", "check", "--config", bad], 64),
        (&["config", "dump", "--config", "none.toml"], 64),
        (&["run", "--config", bad], 64),
        (&["doctor", "--config", bad], 64),
        (&["ctl", "--config", bad, "status"], 64),
        (&["store", "check", "--config", bad], 64),
    ] {
        let outcome = starling_in(directory.path(), arguments, PORTS);
        assert_eq!(outcome.code, Some(code), "{arguments:?} {outcome:?}");
        met.push(code);
    }
    met.dedup();
    assert_eq!(listed(&starling(&["--help"]).stdout), met);
}

#[test]
fn the_page_about_the_command_line_lists_them() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let page = std::fs::read_to_string(page).unwrap();
    let help = starling(&["--help"]).stdout;
    let table = help.split("Exit codes:").nth(1).unwrap();
    assert!(page.contains(table.trim_end()), "cli.md is out of date: run `make docs`");
}
