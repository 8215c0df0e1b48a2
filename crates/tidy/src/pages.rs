//! The pages of the documentation that are made from the source, so that they cannot say anything else.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use crate::{File, Findings, metrics::declared, proto, xep::Protocol, xep::Support};

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
    let supports: BTreeMap<String, Support> = files
        .iter()
        .filter(|file| file.is_source())
        .flat_map(|file| Support::of(file).0)
        .map(|support| (support.xep.clone(), support))
        .collect();
    vec![
        Page { path: "docs/reference/xeps.md", text: xeps(&protocols, &supports) },
        Page { path: "docs/doap.xml", text: doap(&supports) },
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

fn xeps(protocols: &[Protocol], supports: &BTreeMap<String, Support>) -> String {
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("/tests.rs");
    let mut sorted: Vec<&Protocol> = protocols.iter().filter(|protocol| !is_test(&protocol.path)).collect();
    // XEPs by number, then what an RFC alone describes.
    sorted.sort_by_key(|protocol| {
        (protocol.xeps.is_empty(), protocol.xeps.first(), &protocol.title, &protocol.path)
    });
    let mut page = String::from(
        "# Protocols\n\nMade by `make docs` from the first lines of each file that implements an extension or a part of an RFC. The version is that of the\n\
         document which the code follows. Complete: nothing is known to lack of what a server must or should do by it.\n\n\
         | XEP | Version | Status | What lacks, or is particular |\n|---|---|---|---|\n",
    );
    for Support { xep, version, is_complete, note } in supports.values() {
        let _ = writeln!(
            page,
            "| [XEP-{xep}](https://xmpp.org/extensions/xep-{xep}.html) | {version} | {} | {} |",
            status(*is_complete),
            note.replace('|', "\\|")
        );
    }
    page.push_str("\n## Where they are\n\n| What | Where |\n|---|---|\n");
    for Protocol { title, path, .. } in sorted {
        let _ = writeln!(page, "| {} | [{path}](../../{path}) |", title.replace('|', "\\|"));
    }
    page
}

fn status(is_complete: bool) -> &'static str {
    if is_complete { "complete" } else { "partial" }
}

/// XEP-0453 §4.
fn doap(supports: &BTreeMap<String, Support>) -> String {
    let mut page = String::from(concat!(
        "<?xml version='1.0' encoding='UTF-8'?>\n",
        "<!-- Made by `make docs`. -->\n",
        "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'\n",
        "         xmlns='http://usefulinc.com/ns/doap#'\n",
        "         xmlns:xmpp='https://linkmauve.fr/ns/xmpp-doap#'>\n",
        "  <Project>\n    <name>Starling</name>\n    <shortdesc>An XMPP server</shortdesc>\n",
        "    <programming-language>Rust</programming-language>\n",
    ));
    for Support { xep, version, is_complete, note } in supports.values() {
        let _ = writeln!(
            page,
            "    <implements><xmpp:SupportedXep>\n      <xmpp:xep rdf:resource='https://xmpp.org/extensions/xep-{xep}.html'/>\n      \
             <xmpp:status>{}</xmpp:status>\n      <xmpp:version>{version}</xmpp:version>",
            status(*is_complete)
        );
        if !note.is_empty() {
            let note = note.replace('&', "&amp;").replace('<', "&lt;").replace('`', "");
            let _ = writeln!(page, "      <xmpp:note xml:lang='en'>{note}</xmpp:note>");
        }
        page.push_str("    </xmpp:SupportedXep></implements>\n");
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
            file(
                "crates/im/src/xep/ping.rs",
                "//! XEP-0199 XMPP Ping: an answer.\n//! Version 2.0.1 of XEP-0199: complete.\n",
            ),
            file(
                "crates/im/src/xep/mam.rs",
                "//! XEP-0313 Message Archive Management: pages.\n//! Version 1.1.3 of XEP-0313: partial; no `rooms` <yet>.\n",
            ),
            file("crates/im/src/rules.rs", "//! RFC 6121 §8: where a stanza goes.\n"),
            file("crates/im/src/context.rs", "//! What a module sees.\n"),
        ];
        let pages = pages(&files);

        let (versions, places) = pages[0].text.split_once("\n## Where they are\n").unwrap();
        assert!(versions.contains("xep-0199.html) | 2.0.1 | complete |  |\n"), "{versions}");
        assert!(versions.contains("xep-0313.html) | 1.1.3 | partial | no `rooms` <yet> |\n"), "{versions}");
        let rows: Vec<&str> = places.lines().skip(3).collect();
        assert_eq!(rows.len(), 3);
        assert!(
            rows[0].starts_with("| XEP-0199")
                && rows[1].starts_with("| XEP-0313")
                && rows[2].starts_with("| RFC 6121")
        );
        let doap = &pages[1].text;
        assert!(doap.contains("xep-0199.html") && !doap.contains("xep-6121"), "{doap}");
        let part = "<xmpp:status>partial</xmpp:status>\n      <xmpp:version>1.1.3</xmpp:version>\n      \
                    <xmpp:note xml:lang='en'>no rooms &lt;yet></xmpp:note>\n";
        assert!(doap.contains(part), "{doap}");
    }

    #[test]
    fn a_page_that_differs_or_is_missing_is_found() {
        let page = Page { path: "Cargo.toml", text: "something else".into() };
        let missing = Page { path: "docs/no-such-page.md", text: String::new() };

        assert_eq!(stale(&crate::root(), &[page, missing]).len(), 2);
    }
}
