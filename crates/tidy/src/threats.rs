//! The tables of threats and of faults name tests that exist.

use std::{fs, io, path::Path};

use crate::{File, Findings};

const THREATS: &str = "docs/reference/threats.md";
const FAULTS: &str = "docs/reference/faults.md";
/// The faults that are counted (F1, F2, …).
const COUNTED: usize = 19;

/// The page of threats.
pub fn threats_page(root: &Path) -> io::Result<String> {
    fs::read_to_string(root.join(THREATS))
}

/// The page of faults.
pub fn faults_page(root: &Path) -> io::Result<String> {
    fs::read_to_string(root.join(FAULTS))
}

/// Each row names tests that exist.
pub fn threats(page: &str, files: &[File]) -> Findings {
    named(THREATS, page, files)
}

/// The same; and each fault that is counted has its row.
pub fn faults(page: &str, files: &[File]) -> Findings {
    let missing = (1..=COUNTED).filter(|number| !page.contains(&format!("(F{number})")));
    let missing = missing.map(|number| format!("{FAULTS}: there is no row for F{number}"));
    named(FAULTS, page, files).into_iter().chain(missing).collect()
}

/// Each `file::function` in backquotes is a function of such a file, and each row of a table names one.
fn named(name: &str, page: &str, files: &[File]) -> Findings {
    let mut found = Findings::new();
    for (number, line) in page.lines().enumerate() {
        let is_row =
            line.starts_with("| ") && !["| threat ", "| fault "].iter().any(|head| line.starts_with(head));
        let names: Vec<(&str, &str)> =
            line.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
        if is_row && names.is_empty() {
            found.push(format!("{name}:{}: no test", number + 1));
        }
        for (file, function) in names {
            if !files.iter().any(|candidate| defines(candidate, file, function)) {
                found.push(format!("{name}:{}: there is no test {file}::{function}", number + 1));
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
    fn a_fault_that_has_no_row_is_found() {
        let rows: String = (2..=19).map(|number| format!("| it dies (F{number}) | `a::holds` |\n")).collect();
        let files = [file("crates/x/tests/a.rs", "#[test]\nfn holds() {}\n")];
        let page = format!("| fault | tests |\n|---|---|\n{rows}");

        assert_eq!(faults(&page, &files), ["docs/reference/faults.md: there is no row for F1"]);
    }

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
