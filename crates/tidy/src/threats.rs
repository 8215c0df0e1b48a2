//! The table of threats names tests that exist.

use std::{fs, io, path::Path};

use crate::{File, Findings};

const PAGE: &str = "docs/reference/threats.md";

/// The page.
pub fn threats_page(root: &Path) -> io::Result<String> {
    fs::read_to_string(root.join(PAGE))
}

/// Each `file::function` in backquotes is a function of such a file, and each row of a table names one.
pub fn threats(page: &str, files: &[File]) -> Findings {
    let mut found = Findings::new();
    for (number, line) in page.lines().enumerate() {
        let is_row = line.starts_with("| ") && !line.starts_with("| threat ");
        let names: Vec<(&str, &str)> =
            line.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
        if is_row && names.is_empty() {
            found.push(format!("{PAGE}:{}: no test", number + 1));
        }
        for (file, function) in names {
            if !files.iter().any(|candidate| defines(candidate, file, function)) {
                found.push(format!("{PAGE}:{}: there is no test {file}::{function}", number + 1));
            }
        }
    }
    found
}

fn defines(file: &File, name: &str, function: &str) -> bool {
    file.path.ends_with(&format!("/{name}.rs")) && file.text.contains(&format!("fn {function}("))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    #[test]
    fn a_row_without_a_test_and_a_test_that_is_gone_are_found() {
        let page = "| threat | tests |\n|---|---|\n| one | `a::holds` |\n| two | `a::gone`, `b::holds` |\n| three | `code` |\n";
        let files = [file("crates/x/tests/a.rs", "#[test]\nfn holds() {}\n")];

        assert_eq!(
            threats(page, &files),
            [
                "docs/reference/threats.md:4: there is no test a::gone",
                "docs/reference/threats.md:4: there is no test b::holds",
                "docs/reference/threats.md:5: no test"
            ]
        );
    }
}
