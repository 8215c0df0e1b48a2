//! The program as its users meet it: what it refuses, and with which exit code.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::PathBuf;
use std::process::{Command, Output};

const GOOD: &str = "about = \"x\"\nseconds = 1\n[accounts]\ncount = 2\nregister = false\n[chat]\n";

fn scenario(name: &str, text: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("starling-loadtest-{}-{name}.toml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    file
}

fn run(name: &str, text: &str, arguments: &[&str]) -> Output {
    let file = scenario(name, text);
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling-loadtest"));
    let output = command.arg("run").arg(&file).args(arguments).output().unwrap();
    std::fs::remove_file(file).unwrap();
    output
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wrong_scenario_is_named_with_its_line_and_the_exit_code_is_2() {
    let output = run("wrong", &GOOD.replace("seconds", "secnds"), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        error(&output).contains(".toml:2: unknown key `secnds`; did you mean `seconds`?"),
        "{}",
        error(&output)
    );

    let missing = Command::new(env!("CARGO_BIN_EXE_starling-loadtest"))
        .args(["run", "/nowhere.toml"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn an_address_that_is_not_loopback_is_refused() {
    let output = run("foreign", GOOD, &["--target", "192.0.2.1:5222"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(error(&output).contains("only with --i-own-this-target"), "{}", error(&output));
}

#[test]
fn a_server_that_is_not_there_is_said() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run("away", GOOD, &["--target", &free.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(error(&output).contains("the server cannot be reached"), "{}", error(&output));
}

#[test]
fn a_worker_listens_to_others_only_with_tls() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling-loadtest"));
    let output = command.args(["worker", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error(&output).contains("nothing is encrypted: that needs --tls-cert"), "{}", error(&output));
}

#[test]
fn a_worker_that_is_far_is_told_nothing_without_tls() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for worker in ["192.0.2.1:7400", "worker.example:7400"] {
        let output = run("far", GOOD, &["--target", &free.to_string(), "--workers", worker]);
        assert_eq!(output.status.code(), Some(1));
        let said = format!("worker {worker} is not on loopback");
        assert!(error(&output).contains(&said), "{}", error(&output));
    }
}
