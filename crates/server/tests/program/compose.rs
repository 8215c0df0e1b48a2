//! `deploy/compose`: what can be said of it without a container engine.

use std::path::Path;
use std::process::Command;

use crate::starling::{PROGRAM, starling_in};

const FILES: [&str; 4] = ["compose.yaml", "prepare", "router.toml", "manager.toml"];

/// `prepare` makes what both configurations name, and each node of the file has its own certificate.
#[test]
fn what_prepare_makes_is_what_the_nodes_are_configured_with() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/compose");
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for file in FILES {
        std::fs::copy(source.join(file), at.join(file)).unwrap();
    }
    for _ in 0..2 {
        let made = Command::new(at.join("prepare")).env("STARLING", PROGRAM).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let compose = std::fs::read_to_string(at.join("compose.yaml")).unwrap();
    let made = at.join("made");
    for (node, config) in [
        ("router-1", "router.toml"),
        ("router-2", "router.toml"),
        ("manager-1", "manager.toml"),
        ("manager-2", "manager.toml"),
    ] {
        // In a container `made` lies at /etc/starling.
        let text = std::fs::read_to_string(at.join(config)).unwrap();
        let text = text.replace("/etc/starling", at.to_str().unwrap());
        std::fs::write(at.join("here.toml"), text).unwrap();
        let files = [("CERTIFICATE", "crt"), ("KEY", "key")].map(|(key, extension)| {
            let variable = format!("STARLING_CLUSTER_{key}");
            let line = format!("{variable}: /etc/starling/made/{node}.{extension}");
            assert!(compose.contains(&line), "{line}");
            (variable, made.join(format!("{node}.{extension}")).to_str().unwrap().to_owned())
        });
        let variables: Vec<_> = files.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let checked = starling_in(at, &["config", "check", "--config", "here.toml"], &variables);
        assert_eq!(checked.code, Some(0), "{node}: {checked:?}");
    }
    assert_eq!(std::fs::read(made.join("secret")).unwrap().len(), 32);
}
