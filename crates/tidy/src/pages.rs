//! The pages of the documentation that are made from the source, so that they cannot say anything else.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use crate::{File, Findings, metrics::declared, proto, xep::Protocol};

/// A generated page.
#[derive(Debug)]
pub struct Page {
    /// From the root of the repository.
    pub path: &'static str,
    pub text: String,
}

/// All pages, as they must be for this source.
pub fn pages(files: &[File]) -> Vec<Page> {
    let protocols: Vec<Protocol> =
        files.iter().filter(|file| file.is_source()).filter_map(Protocol::of).collect();
    vec![
        Page { path: "docs/reference/xeps.md", text: xeps(&protocols) },
        Page { path: "docs/doap.xml", text: doap(&protocols) },
        Page { path: "docs/reference/metrics.md", text: metrics(files) },
        Page { path: "docs/reference/grpc.md", text: proto::page(files) },
    ]
}

/// A committed page equals what the source makes of it.
pub fn stale(root: &Path, pages: &[Page]) -> Findings {
    let differs =
        |page: &&Page| std::fs::read_to_string(root.join(page.path)).ok().as_deref() != Some(&page.text);
    pages
        .iter()
        .filter(differs)
        .map(|page| format!("{}: is out of date: run `make docs`", page.path))
        .collect()
}

fn xeps(protocols: &[Protocol]) -> String {
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("/tests.rs");
    let mut sorted: Vec<&Protocol> = protocols.iter().filter(|protocol| !is_test(&protocol.path)).collect();
    // XEPs by number, then what an RFC alone describes.
    sorted.sort_by_key(|protocol| {
        (protocol.xeps.is_empty(), protocol.xeps.first(), &protocol.title, &protocol.path)
    });
    let mut page = String::from(
        "# Protocols\n\nMade by `make docs` from the first line of each file that implements an extension or a part of an RFC.\n\n\
         | What | Where |\n|---|---|\n",
    );
    for Protocol { title, path, .. } in sorted {
        let _ = writeln!(page, "| {} | [{path}](../../{path}) |", title.replace('|', "\\|"));
    }
    page
}

fn doap(protocols: &[Protocol]) -> String {
    let numbers: BTreeSet<&String> = protocols.iter().flat_map(|protocol| &protocol.xeps).collect();
    let mut page = String::from(concat!(
        "<?xml version='1.0' encoding='UTF-8'?>\n",
        "<!-- Made by `make docs`. -->\n",
        "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'\n",
        "         xmlns='http://usefulinc.com/ns/doap#'\n",
        "         xmlns:xmpp='https://linkmauve.fr/ns/xmpp-doap#'>\n",
        "  <Project>\n    <name>Starling</name>\n    <shortdesc>An XMPP server</shortdesc>\n",
        "    <programming-language>Rust</programming-language>\n",
    ));
    for number in numbers {
        let _ = writeln!(
            page,
            "    <implements><xmpp:SupportedXep><xmpp:xep rdf:resource='https://xmpp.org/extensions/xep-{number}.html'/>\
             </xmpp:SupportedXep></implements>"
        );
    }
    page.push_str("  </Project>\n</rdf:RDF>\n");
    page
}

fn metrics(files: &[File]) -> String {
    let mut page = String::from(
        "# Metrics\n\nMade by `make docs` from the `metrics.rs` of each crate.\n\n\
         | Name | Kind | Labels | What it counts | Crate |\n|---|---|---|---|---|\n",
    );
    for metric in declared(files) {
        let package = metric.package.trim_start_matches("crates/");
        let labels: Vec<String> = metric.labels.iter().map(|key| format!("`{key}`")).collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | `{package}` |",
            metric.name,
            metric.kind,
            labels.join(", "),
            metric.about.replace('|', "\\|")
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    #[test]
    fn pages_follow_the_source() {
        let files = [
            file("crates/im/src/xep/ping.rs", "//! XEP-0199 XMPP Ping: an answer.\n"),
            file("crates/im/src/xep/mam.rs", "//! XEP-0313 Message Archive Management: pages.\n"),
            file("crates/im/src/rules.rs", "//! RFC 6121 §8: where a stanza goes.\n"),
            file("crates/im/src/context.rs", "//! What a module sees.\n"),
        ];
        let pages = pages(&files);

        let rows: Vec<&str> = pages[0].text.lines().skip(6).collect();
        assert_eq!(rows.len(), 3);
        assert!(
            rows[0].starts_with("| XEP-0199")
                && rows[1].starts_with("| XEP-0313")
                && rows[2].starts_with("| RFC 6121")
        );
        assert!(pages[1].text.contains("xep-0199.html") && !pages[1].text.contains("xep-6121"));
    }

    #[test]
    fn a_page_that_differs_or_is_missing_is_found() {
        let page = Page { path: "Cargo.toml", text: "something else".into() };
        let missing = Page { path: "docs/no-such-page.md", text: String::new() };

        assert_eq!(stale(&crate::root(), &[page, missing]).len(), 2);
    }
}
