//! `starling-tidy docs` writes the pages of the documentation that are made from the source.

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() != Some("docs") {
        anyhow::bail!("usage: starling-tidy docs");
    }
    let root = starling_tidy::root();
    for page in starling_tidy::pages(&starling_tidy::read(&root)?) {
        let path = root.join(page.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, page.text)?;
        eprintln!("wrote {}", page.path);
    }
    Ok(())
}
