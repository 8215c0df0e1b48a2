//! The rules hold in every world, and each of them is needed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use starling_model::{CUTS, Explored, RULES, Theme, explore, explore_for, with_tables};

/// Generous: a world that is cut short has shown nothing, and its test fails.
const TIME: Duration = Duration::from_secs(600);
const STATES: usize = 40_000_000;

fn is_deep() -> bool {
    std::env::var_os("STARLING_MODEL_DEPTH").is_some_and(|depth| depth == "deep")
}

fn what_is_wrong(theme: Theme, found: &Explored) -> Option<String> {
    let steps = |(invariant, steps): &(starling_model::Invariant, Vec<starling_model::Action>)| {
        format!("`{}` after {steps:#?}", invariant.name())
    };
    let broken: Vec<String> = found.broken.iter().map(steps).collect();
    match (broken.is_empty(), found.is_whole) {
        (true, true) => None,
        (true, false) => Some(format!("{theme:?}: cut short after {} states", found.states)),
        (false, _) => Some(format!("{theme:?}: {}", broken.join(", "))),
    }
}

/// The deep ones take minutes: only where `STARLING_MODEL_DEPTH` is `deep`, as `make fault` has it.
#[test]
fn every_invariant_holds_in_every_world() {
    let deep = Theme::ALL.iter().filter(|_| is_deep()).filter_map(|theme| Some((*theme, theme.deep()?)));
    let small = Theme::ALL.iter().filter_map(|theme| Some((*theme, theme.small()?)));
    let mut wrong = Vec::new();
    for (theme, world) in small.chain(deep) {
        let found = explore(world, TIME, STATES);
        println!("{theme:?}: {} states, {} deep, {:?}", found.states, found.depth, found.took);
        wrong.extend(what_is_wrong(theme, &found));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_part_of_a_rule_taken_out_breaks_the_invariant_that_is_named() {
    let mut wrong = Vec::new();
    for broken in CUTS {
        let world = broken.theme.small().or_else(|| broken.theme.deep()).unwrap();
        let found = explore_for(broken.breaks, world.cut(broken.cut), TIME, STATES);
        if !found.broken.iter().any(|(invariant, _)| *invariant == broken.breaks) {
            wrong.push(format!("{:?} in {:?} breaks {:?}", broken.cut, broken.theme, found.broken));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn there_are_26_rules_and_each_is_held_or_it_is_said_why_not() {
    assert!(RULES.iter().map(|rule| rule.number).eq(1..=26));
    for rule in &RULES {
        let is_guarded = rule.cuts().next().is_some() || !rule.tests.is_empty();
        assert!(is_guarded || !rule.note.is_empty(), "rule {}", rule.number);
    }
}

#[test]
fn the_tests_that_the_rules_name_exist() {
    let mut source = String::new();
    read(&root().join("crates"), &mut source);
    for test in RULES.iter().flat_map(|rule| rule.tests) {
        let end = if test.ends_with('_') { "" } else { "(" };
        assert!(source.contains(&format!("fn {test}{end}")), "{test}");
    }
}

#[test]
fn the_page_says_what_the_model_says() {
    let page = std::fs::read_to_string(root().join("docs/explanation/session-log.md")).unwrap();
    let fresh = with_tables(&page).expect("a place for the tables");
    assert!(page == fresh, "docs/explanation/session-log.md is out of date: run `make docs`");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(folder: &Path, source: &mut String) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "model" && name != "target" {
            read(&path, source);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            source.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}
