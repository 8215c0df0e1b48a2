//! Charts as PNG: twice as many pixels as the page has, on a light ground of their own, in a font that the program brings along.

use super::svg::Picture;
use anyhow::{Context as _, Result, ensure};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use std::collections::BTreeSet;
use std::path::Path;

/// Pixels for each unit of a chart.
const DENSITY: f32 = 2.0;
const GROUND: &str = "#ffffff";
const STYLE: &str = "\
text{font-family:Ubuntu;font-weight:300;font-size:11.5px;fill:#1f2328;stroke:#1f2328;stroke-width:.2px}\
text.title{font-size:14px;stroke-width:.5px}line.grid{stroke:#d8dce1;stroke-width:1px}\
line.range{stroke:#1f2328;stroke-width:1.5px}";
/// So many charts are written, and no more: they are of results that anybody may have written.
const MOST: usize = 1000;
/// Letters of a file's name.
const LETTERS: usize = 100;

/// Writes each picture as NAME.png into a folder, which is made if it is not there.
pub(super) fn write(folder: &Path, pictures: &[Picture]) -> Result<()> {
    ensure!(!pictures.is_empty(), "the results have nothing to draw");
    ensure!(pictures.len() <= MOST, "{} charts are too many, {MOST} may be drawn", pictures.len());
    std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    let options = options();
    let mut taken = BTreeSet::new();
    for picture in pictures {
        let file = folder.join(format!("{}.png", free(&picture.name, &mut taken)));
        let png = drawn(picture, &options).with_context(|| format!("drawing {}", file.display()))?;
        std::fs::write(&file, png).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

fn options() -> Options<'static> {
    let mut options = Options { style_sheet: Some(STYLE.to_owned()), ..Options::default() };
    options.fontdb_mut().load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
    options
}

fn drawn(picture: &Picture, options: &Options<'_>) -> Result<Vec<u8>> {
    let tree = Tree::from_str(&picture.document(GROUND), options)?;
    let size = tree.size().to_int_size().scale_by(DENSITY).context("it has no size")?;
    let mut pixels = Pixmap::new(size.width(), size.height()).context("it is too large")?;
    resvg::render(&tree, Transform::from_scale(DENSITY, DENSITY), &mut pixels.as_mut());
    Ok(pixels.encode_png()?)
}

/// A name of letters, digits, dots and dashes that no other picture has.
fn free(name: &str, taken: &mut BTreeSet<String>) -> String {
    let safe = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
    let name: String =
        name.chars().take(LETTERS).map(|letter| if safe(letter) { letter } else { '-' }).collect();
    let name = name.trim_start_matches(['.', '-']);
    let names = std::iter::once(name.to_owned()).chain((2..).map(|count| format!("{name}-{count}")));
    let free = names.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(free.clone());
    free
}
