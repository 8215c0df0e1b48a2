//! `starling-model docs` writes the tables of the documentation; `look [THEME [CUT|all]]` explores, and says what breaks.

use std::time::Duration;

use anyhow::Context as _;
use starling_model::{CUTS, Explored, Theme, explore, explore_for};

const TIME: Duration = Duration::from_secs(600);
const STATES: usize = 20_000_000;

const PAGE: &str = "docs/explanation/session-log.md";

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("docs") => {
            let page = std::fs::read_to_string(PAGE)?;
            let page = starling_model::with_tables(&page).context("the page has no place for the tables")?;
            std::fs::write(PAGE, page)?;
            eprintln!("wrote {PAGE}");
        }
        Some("look") => look(&words),
        _ => anyhow::bail!("usage: starling-model docs | look [THEME [CUT|all]]"),
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn look(words: &[String]) {
    let theme = words.get(1).map(String::as_str).unwrap_or_default();
    let cut = words.get(2).map(String::as_str).unwrap_or_default();
    for one in
        Theme::ALL.into_iter().filter(|one| theme.is_empty() || theme == "all" || format!("{one:?}") == theme)
    {
        let worlds =
            if std::env::var_os("STARLING_MODEL_DEPTH").is_some() { one.deep() } else { one.small() };
        let Some(world) = worlds.or_else(|| one.deep()) else { continue };
        if cut.is_empty() {
            println!("{one:?}: {}", said(&explore(world, TIME, STATES)));
        }
        for broken in CUTS.iter().filter(|broken| broken.theme == one) {
            if cut == "all" || format!("{:?}", broken.cut) == cut {
                let found = explore_for(broken.breaks, world.cut(broken.cut), TIME, STATES);
                let is_right = found.broken.iter().any(|(invariant, _)| *invariant == broken.breaks);
                let sign = if is_right { "ok " } else { "NOT" };
                println!("{sign} {one:?} without {:?} ({:?}): {}", broken.cut, broken.breaks, said(&found));
            }
        }
    }
}

fn said(found: &Explored) -> String {
    let mut text = format!(
        "{} states, {} deep, {:.1} s, {}",
        found.states,
        found.depth,
        found.took.as_secs_f32(),
        if found.is_whole { "whole" } else { "CUT SHORT" }
    );
    for (invariant, steps) in &found.broken {
        text += &format!("\n  {} after {}", invariant.name(), steps.len());
        if std::env::var_os("STEPS").is_some() {
            steps.iter().for_each(|step| text += &format!("\n    {step:?}"));
        }
    }
    text
}
