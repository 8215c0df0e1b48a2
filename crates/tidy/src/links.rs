//! Links between the pages of the documentation lead somewhere.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::Findings;

/// Every relative link of the README and the pages below `docs` names a file that exists.
pub fn dead_links(root: &Path) -> Findings {
    let mut found = Findings::new();
    for page in pages(root).unwrap_or_default() {
        let Ok(text) = fs::read_to_string(&page) else { continue };
        let folder = page.parent().unwrap_or(root);
        let shown = page.strip_prefix(root).unwrap_or(&page).display().to_string();
        for target in targets(&text).filter(|target| !folder.join(target).exists()) {
            found.push(format!("{shown}: the link to {target} leads nowhere"));
        }
    }
    found
}

fn pages(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What `[text](target)` points to, without its fragment; links to other hosts and within a page are passed over.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = links.filter_map(|link| link.split('#').next());
    files.filter(|file| !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_told_from_others() {
        let text = "[a](b.md) [c](https://d.example/e) [f](#g) ![h](i/j.png) [k](l.md#m) x(y)";

        assert_eq!(targets(text).collect::<Vec<_>>(), ["b.md", "i/j.png", "l.md"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let root = std::env::temp_dir().join(format!("starling-links-{}", std::process::id()));
        fs::create_dir_all(root.join("docs")).unwrap();
        fs::write(root.join("README.md"), "[a](docs/a.md) [b](docs/b.md)").unwrap();
        fs::write(root.join("docs/a.md"), "[up](../README.md)").unwrap();
        let found = dead_links(&root);
        fs::remove_dir_all(&root).unwrap();

        assert_eq!(found, ["README.md: the link to docs/b.md leads nowhere"]);
    }
}
