//! The rules of this repository, each a test; `docs/STYLE.md` says why they are.

use starling_tidy::{self as tidy, File, Findings};

fn files() -> Vec<File> {
    let files = tidy::read(&tidy::root()).unwrap_or_default();
    assert!(
        files.iter().any(|file| file.path == "crates/tidy/src/lib.rs"),
        "the rules look at the right folder"
    );
    files
}

#[track_caller]
fn holds(rule: impl Fn(&[File]) -> Findings) {
    let found = rule(&files());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn crates_use_lower_floors_only() {
    holds(tidy::floors);
}

#[test]
fn floors_0_to_2_do_not_know_tokio() {
    holds(tidy::no_tokio_below_floor_three);
}

#[test]
fn files_are_short() {
    holds(tidy::short_files);
}

#[test]
fn first_lines_say_what_a_file_is_for() {
    holds(tidy::first_line_is_purpose);
}

#[test]
fn lints_are_never_allowed_without_reason() {
    holds(tidy::no_bare_allow);
}

#[test]
fn nothing_is_left_to_be_done_in_comments() {
    holds(tidy::no_todo);
}

#[test]
fn no_test_is_ignored() {
    holds(tidy::no_ignored_tests);
}

#[test]
fn each_xep_has_its_file_its_line_and_its_story() {
    holds(tidy::xep_lists);
}

#[test]
fn each_xep_says_its_version_and_what_lacks() {
    holds(tidy::xep_versions);
}

#[test]
fn metrics_are_named_in_metrics_rs() {
    holds(tidy::metric_names);
}

#[test]
fn log_messages_are_lower_case_without_full_stop() {
    holds(tidy::log_style);
}

#[test]
fn the_page_of_grpc_has_every_line_of_the_contracts() {
    holds(tidy::protos);
}

#[test]
fn generated_pages_are_fresh() {
    holds(|files| tidy::stale(&tidy::root(), &tidy::pages(files)));
}

#[test]
fn links_of_the_documentation_lead_somewhere() {
    let found = tidy::dead_links(&tidy::root());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn make_help_lists_every_target() {
    let root = tidy::root();
    let makefile = std::fs::read_to_string(root.join("Makefile")).unwrap_or_default();
    let help = std::process::Command::new("make").arg("help").current_dir(root).output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let listed: Vec<&str> = help.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let targets: Vec<&str> = makefile
        .lines()
        .filter_map(|line| line.strip_prefix(".PHONY: "))
        .flat_map(str::split_whitespace)
        .collect();
    assert!(targets.len() > 20, "{targets:?}");
    for target in targets {
        assert!(listed.contains(&target), "`make help` does not list {target}");
    }
}

#[test]
fn the_table_of_threats_names_tests_that_exist() {
    let page = tidy::threats_page(&tidy::root()).unwrap_or_default();
    assert!(page.lines().count() > 20, "the page is there");
    holds(|files| tidy::threats(&page, files));
}

#[test]
fn the_table_of_faults_names_tests_that_exist() {
    let page = tidy::faults_page(&tidy::root()).unwrap_or_default();
    assert!(page.lines().count() > 20, "the page is there");
    holds(|files| tidy::faults(&page, files));
}
