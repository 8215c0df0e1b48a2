//! `starling config`, and what a wrong configuration gets.

use std::path::Path;

use crate::starling::{PORTS, starling, starling_in};

fn written(directory: &Path, text: &str) {
    std::fs::write(directory.join("starling.toml"), text).unwrap();
}

#[test]
fn a_wrong_configuration_ends_with_64_and_touches_nothing() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), "domains = ['a.example']\n\n[limits]\nstanza-byte = 20000\n");
    for arguments in [
        &["config", "check"][..],
        &["run"],
        &["run", "--quickstart"],
        &["config", "dump"],
        &["store", "check"],
    ] {
        let refused =
            starling_in(directory.path(), &[arguments, &["--config", "starling.toml"]].concat(), PORTS);
        assert_eq!(refused.code, Some(64), "{arguments:?} {refused:?}");
        let said = "starling: starling.toml:4: unknown key `stanza-byte`; did you mean `stanza-bytes`?";
        assert_eq!(refused.stderr.trim(), said, "{arguments:?}");
    }
    assert!(!directory.path().join("data").exists());
}

#[test]
fn every_complaint_has_place_reason_and_mend() {
    let directory = tempfile::tempdir().unwrap();
    for (text, place, reason, mend) in [
        ("[limits]\nstanza-bytes = 1\n", "starling.toml:2", "RFC 6120", "the default is 262144"),
        (
            "[im]\narchive = 3\n",
            "starling.toml:2",
            "must be true or false, not the number 3",
            "the default is true",
        ),
        (
            "[admin]\nlisten = 'here'\n",
            "starling.toml:2",
            "an address and a port, such as",
            "the default is \"127.0.0.1:5281\"",
        ),
        ("domain = 'x'\n", "starling.toml:1", "unknown key `domain`", "did you mean `domains`?"),
        ("[log]\nlevel = 'loud'\n", "starling.toml:2", "\"loud\"", "the default is \"info\""),
        (
            "[listen]\nplain = ['0.0.0.0:1']\n",
            "starling.toml:2",
            "not a loopback address",
            "the default is []",
        ),
        (
            "[log]\nlevel = 'info,straling_im=debug'\n",
            "starling.toml:2: log.level",
            "there is no part \"straling_im\" of the server",
            "did you mean starling_im?",
        ),
        (
            "[log]\nlevel = 'info,loud'\n",
            "starling.toml:2: log.level",
            "no part \"loud\"",
            "parts are starling, ",
        ),
        (
            "[listen]\nc2s = ['192.0.2.1:5222']\n",
            "starling.toml:2: listen.c2s",
            "192.0.2.1:5222 cannot be listened on",
            "name an address of this machine",
        ),
        (
            "[listen]\nplain = ['127.0.0.1:5223']\n",
            "starling.toml:2: listen.plain",
            "127.0.0.1:5223 is taken already by [::]:5223 of listen.direct-tls",
            "give one of them another port",
        ),
        (
            "[im]\nresume-within = 300\n",
            "starling.toml:2: im.resume-within",
            "such as \"30s\"",
            "the default is \"5m\"",
        ),
        (
            "[limits]\nstanza-bytes = '1M'\n",
            ":2: limits.stanza-bytes",
            "a whole number of bytes",
            "the default is 262144",
        ),
    ] {
        written(directory.path(), text);
        let refused = starling_in(directory.path(), &["config", "check", "--config", "starling.toml"], &[]);
        assert_eq!(refused.code, Some(64), "{text:?} {refused:?}");
        for part in [place, reason, mend] {
            assert!(refused.stderr.contains(part), "{part:?} is not in {}", refused.stderr);
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_what_helps() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("etc")).unwrap();
    std::fs::write(directory.path().join("latin.toml"), b"domains = ['a.example']\n# f\xfcr alle\n").unwrap();
    for (file, said) in [
        ("none.toml", "none.toml: cannot be read: No such file or directory (os error 2); create it"),
        ("etc", "etc: cannot be read: Is a directory (os error 21); name the file in it"),
        (
            "latin.toml",
            "latin.toml:2: holds bytes that are not UTF-8, which TOML is written in; save it as UTF-8",
        ),
    ] {
        let refused = starling_in(directory.path(), &["config", "check", "--config", file], &[]);
        assert_eq!(refused.code, Some(64), "{refused:?}");
        assert!(refused.stderr.starts_with(&format!("starling: {said}")), "{refused:?}");
    }
}

#[test]
fn a_variable_wins_over_the_file_and_is_named_when_it_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), "[log]\nlevel = 'warn'\n");
    let arguments = ["config", "dump", "--config", "starling.toml"];
    let dump = |variables: &[(&str, &str)]| starling_in(directory.path(), &arguments, variables);
    assert!(dump(&[]).succeeded().stdout.contains("level = \"warn\""));
    assert!(dump(&[("STARLING_LOG_LEVEL", "debug")]).succeeded().stdout.contains("level = \"debug\""));
    let wrong = dump(&[("STARLING_LOG_LEVL", "debug")]);
    assert_eq!(wrong.code, Some(64));
    assert_eq!(
        wrong.stderr.trim(),
        "starling: STARLING_LOG_LEVL: no such key; did you mean STARLING_LOG_LEVEL?"
    );
}

#[test]
fn what_is_dumped_is_a_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let first = starling(&["config", "dump"]).succeeded().stdout;
    written(directory.path(), &first);
    let second = starling_in(directory.path(), &["config", "dump", "--config", "starling.toml"], &[]);
    assert_eq!(second.succeeded().stdout, first);
}

#[test]
fn the_committed_pages_are_what_the_program_prints() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    for (page, arguments) in [
        ("config.md", &["config", "doc"][..]),
        ("limits.md", &["config", "doc", "--limits"]),
        ("api.md", &["config", "doc", "--api"]),
    ] {
        let committed = std::fs::read_to_string(reference.join(page)).unwrap();
        assert!(
            committed == starling(arguments).succeeded().stdout,
            "{page} is out of date: run `make docs`"
        );
    }
}
