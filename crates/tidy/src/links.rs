//! Links between the pages of the documentation lead somewhere.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::Findings;

/// Every relative link of the README and the pages below `docs` names a file that exists, and a heading of it if it names one.
pub fn dead_links(root: &Path) -> Findings {
    let mut found = Findings::new();
    for page in pages(root).unwrap_or_default() {
        let Ok(text) = fs::read_to_string(&page) else { continue };
        let folder = page.parent().unwrap_or(root);
        let shown = page.strip_prefix(root).unwrap_or(&page).display().to_string();
        let is_dead = |(file, heading): &(&str, Option<&str>)| {
            let to = if file.is_empty() { page.clone() } else { folder.join(file) };
            let is_page = to.extension().is_some_and(|extension| extension == "md");
            let lacks =
                |heading: &str| fs::read_to_string(&to).is_ok_and(|text| !headings(&text).contains(heading));
            !to.exists() || (is_page && heading.is_some_and(lacks))
        };
        for (file, heading) in targets(&text).filter(is_dead) {
            let heading = heading.map(|heading| format!("#{heading}")).unwrap_or_default();
            found.push(format!("{shown}: the link to {file}{heading} leads nowhere"));
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

/// What `[text](target)` points to: a file, none for the page itself, and a heading; links to other hosts are passed over.
fn targets(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let ours = links.filter(|link| !link.contains("://") && !link.starts_with("mailto:") && !link.is_empty());
    ours.map(|link| link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading))))
}

/// The names by which the headings of a page are linked to: in small letters, without punctuation, with `-` for spaces.
fn headings(text: &str) -> HashSet<String> {
    let mut is_code = false;
    let mut found = HashSet::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !is_code) else { continue };
        let shown = heading.trim_start_matches('#').trim().replace(' ', "-").to_lowercase();
        found.insert(shown.chars().filter(|char| char.is_alphanumeric() || "-_".contains(*char)).collect());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_told_from_others() {
        let text = "[a](b.md) [c](https://d.example/e) [f](#g) ![h](i/j.png) [k](l.md#m) x(y)";

        let found: Vec<_> = targets(text).collect();
        assert_eq!(found, [("b.md", None), ("", Some("g")), ("i/j.png", None), ("l.md", Some("m"))]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let root = std::env::temp_dir().join(format!("starling-links-{}", std::process::id()));
        fs::create_dir_all(root.join("docs")).unwrap();
        fs::write(root.join("README.md"), "[a](docs/a.md) [b](docs/b.md) [c](docs/a.md#its-other-one)")
            .unwrap();
        fs::write(root.join("docs/a.md"), "# Its `one`\n[up](../README.md) [there](#its-one)").unwrap();
        let found = dead_links(&root);
        fs::remove_dir_all(&root).unwrap();

        assert_eq!(
            found,
            ["docs/b.md", "docs/a.md#its-other-one"]
                .map(|to| format!("README.md: the link to {to} leads nowhere"))
        );
    }
}
