//! Results of real runs as PNG: every chart of the page, with text in it; what cannot be read or written is named.

use super::server::Server;
use super::{PAIR, play_on};
use resvg::tiny_skia::{Pixmap, PremultipliedColorU8};
use std::path::Path;
use std::process::{Command, Output};

/// One result of a run that measured something in several seconds.
fn played(folder: &Path) {
    let own = std::process::id().to_string();
    let scenario = PAIR.replace("seconds = 20\noperations = 20", "seconds = 3");
    let seen = play_on(&Server::start(&[]), &scenario, &["--name", "../pairs & co", "--server-pid", &own]);
    assert_eq!(seen.code, Some(0), "{}", seen.words);
    std::fs::write(folder.join("result.json"), seen.result.to_string()).unwrap();
}

fn report(folder: &Path, charts: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling-loadtest"));
    command.arg("report").arg(folder).arg("--output").arg(folder.join("page.html")).arg("--png").arg(charts);
    command.output().unwrap()
}

/// What it said, as it failed.
fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// How many pixels between these places, in units of the chart, fulfil a condition.
fn count(
    pixels: &Pixmap,
    (left, right): (u32, u32),
    (top, bottom): (u32, u32),
    is: fn(&PremultipliedColorU8) -> bool,
) -> usize {
    let places = (2 * top..2 * bottom).flat_map(|y| (2 * left..2 * right).map(move |x| (x, y)));
    places.filter_map(|(x, y)| pixels.pixel(x, y)).filter(is).count()
}

fn is_dark(pixel: &PremultipliedColorU8) -> bool {
    pixel.red() < 100 && pixel.green() < 100 && pixel.blue() < 100
}

fn is_coloured(pixel: &PremultipliedColorU8) -> bool {
    pixel.blue() > pixel.red().saturating_add(100)
}

#[test]
fn every_chart_of_the_page_is_a_png_that_says_in_words_what_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    played(folder.path());
    let charts = folder.path().join("made/charts");
    let output = report(folder.path(), &charts);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names: Vec<String> = std::fs::read_dir(&charts)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let of_load = ["latency", "p99", "rate"].map(|what| format!("pairs---co-delivery-{what}.png"));
    let mut wanted = [&of_load[..], &["cpu.png", "p99.png", "rate.png"].map(str::to_owned)].concat();
    wanted.sort();
    assert_eq!(names, wanted);
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), names.len(), "the page has the same");
    for name in names {
        let pixels = Pixmap::decode_png(&std::fs::read(charts.join(&name)).unwrap()).unwrap();
        assert_eq!(pixels.width(), 1280, "{name}");
        assert!(pixels.height() > 200 && pixels.pixels().iter().all(|pixel| pixel.alpha() == 255), "{name}");
        let whole = pixels.height() / 2;
        assert!(count(&pixels, (12, 400), (2, 20), is_dark) > 300, "{name}: no title");
        assert!(count(&pixels, (43, 120), (26, 40), is_dark) > 50, "{name}: no name in the legend");
        assert!(count(&pixels, (100, 600), (whole - 16, whole), is_dark) > 10, "{name}: no unit");
        assert!(count(&pixels, (64, 620), (50, whole - 40), is_coloured) > 100, "{name}: nothing is plotted");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    played(folder.path());
    let charts = folder.path().join("result.json/charts");
    let said = failed(&report(folder.path(), &charts));
    assert!(said.contains(&format!("making the folder {}", charts.display())), "{said}");
}

#[test]
fn results_that_are_missing_broken_or_empty_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (charts, file) = (folder.path().join("charts"), folder.path().join("a.json"));
    let said = failed(&report(folder.path(), &charts));
    assert!(said.contains(&format!("no result in {}", folder.path().display())), "{said}");
    for (text, why) in [
        ("", "is no result"),
        ("{\"schema\":1,\"scenario\":", "is no result"),
        ("{\"schema\":1,\"figures\":{}}", "no operations"),
        (
            "{\"schema\":1,\"scenario\":{\"name\":\"x\"},\"figures\":{},\"operations\":{\"o\":{\"histogram\":\"AAAA\"}}}",
            "no histogram",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = failed(&report(folder.path(), &charts));
        assert!(said.contains(&file.display().to_string()) && said.contains(why), "{why}: {said}");
    }
    std::fs::write(&file, "{\"schema\":1,\"scenario\":{\"name\":\"x\"},\"figures\":{},\"operations\":{}}")
        .unwrap();
    let said = failed(&report(folder.path(), &charts));
    assert!(said.contains("the results have nothing to draw"), "{said}");
    assert!(!charts.exists(), "nothing was written");
}
