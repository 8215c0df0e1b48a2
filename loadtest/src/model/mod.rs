//! `model`: from the figures of docs/benchmarks.md to the machines that millions of users need: docs/explanation/capacity.md.

mod figures;
mod page;
mod plan;
mod simulate;

use crate::bench::page as tables;
use anyhow::{Context as _, Result};
use clap::Args;
use figures::Figures;
use std::path::PathBuf;

/// What writes the tables of the page.
const BY: &str = "make capacity";

/// Says which machines 1, 10 and 100 million connected users need, by the figures of a page of benchmarks.
#[derive(Debug, Clone, Args)]
pub(crate) struct Model {
    /// The page with the figures.
    #[arg(long, default_value = "docs/benchmarks.md")]
    pub(crate) figures: PathBuf,
    /// The page whose tables are written anew.
    #[arg(long)]
    pub(crate) write: Option<PathBuf>,
}

/// The tables; written into the page too, if one is named.
pub(crate) fn run(model: &Model) -> Result<String> {
    let at = || format!("reading {}", model.figures.display());
    let figures =
        Figures::read(&std::fs::read_to_string(&model.figures).with_context(at)?).with_context(at)?;
    let text = page::text(&figures);
    if let Some(page) = &model.write {
        tables::write(page, &text, BY)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_number_of_the_page_follows_from_the_figures() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let model = Model { figures: docs.join("benchmarks.md"), write: None };
        let page = std::fs::read_to_string(docs.join("explanation/capacity.md")).unwrap();
        let (before, rest) = page.split_once(&format!("<!-- made by {BY} -->\n")).unwrap();
        let (made, after) = rest.split_once(&format!("<!-- end of what {BY} makes -->")).unwrap();
        assert!(
            made.trim() == run(&model).unwrap().trim(),
            "docs/benchmarks.md has other figures than docs/explanation/capacity.md was made of: run `{BY}`"
        );
        let is_figure =
            |text: &str| ["µs", "KiB", " ms", "GiB", "cores"].iter().any(|unit| text.contains(unit));
        assert!(
            !is_figure(before) && !is_figure(after),
            "figures stand in the tables, where they are computed"
        );
    }
}
