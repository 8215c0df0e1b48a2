//! `docs/reference/grpc.md`: every service and message of the `.proto` files, with their comments.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{File, Findings};

/// A service, message or enum.
#[derive(Debug, Default, PartialEq)]
struct Item {
    kind: String,
    name: String,
    about: String,
    rows: Vec<Row>,
}

/// A method, a field or a value.
#[derive(Debug, Default, PartialEq)]
struct Row {
    name: String,
    /// Of a field or a value.
    number: String,
    /// Of a field; what a method takes.
    takes: String,
    /// What a method gives.
    gives: String,
    /// The name of the `oneof` of which there is one field at most.
    choice: Option<String>,
    about: String,
}

/// A file, as far as the page shows it.
#[derive(Debug, Default, PartialEq)]
struct Proto {
    path: String,
    package: String,
    about: String,
    items: Vec<Item>,
}

/// Every line of the `.proto` files is one that the page shows or knows to leave out.
pub fn protos(files: &[File]) -> Findings {
    all(files).into_iter().flat_map(|(_, strange)| strange).collect()
}

/// The page.
pub(crate) fn page(files: &[File]) -> String {
    let mut page = String::from(
        "# gRPC\n\nMade by `make docs` from the files below [proto](../../proto), which have the same comments. `starling.admin.v1` is for administrators:\n\
         [administration](api.md) says which role a command needs, and how it is done by REST. `starling.link.v1` is what nodes of a cluster say to one another,\n\
         for nobody else: [its README](../../proto/README.md) says what its versions promise. A field that is not said is 0, empty or false, unless\n\
         it is `optional`; of a choice (`one of`) there is one at most.\n",
    );
    let mut packages: BTreeMap<String, Vec<Proto>> = BTreeMap::new();
    for (proto, _) in all(files) {
        packages.entry(proto.package.clone()).or_default().push(proto);
    }
    for (package, protos) in packages {
        let _ = write!(page, "\n## {package}\n");
        for Proto { path, about, .. } in &protos {
            let _ = write!(page, "\n[{path}](../../{path}): {about}\n");
        }
        let items: Vec<&Item> = protos.iter().flat_map(|proto| &proto.items).collect();
        let (services, others): (Vec<&Item>, Vec<&Item>) =
            items.into_iter().partition(|item| item.kind == "service");
        for item in services.iter().chain(&others) {
            show(&mut page, &package, item, &others);
        }
    }
    page
}

fn show(page: &mut String, package: &str, item: &Item, known: &[&Item]) {
    let Item { kind, name, about, rows } = item;
    let _ = write!(page, "\n### {}\n", heading(package, name));
    let lead = match kind.as_str() {
        "service" => "A service. ",
        "enum" => "One of these values. ",
        _ => "",
    };
    if !about.is_empty() || !lead.is_empty() {
        let _ = write!(page, "\n{}\n", format!("{lead}{about}").trim_end());
    }
    if rows.is_empty() {
        page.push_str("\nNothing is in it.\n");
        return;
    }
    page.push_str(match kind.as_str() {
        "service" => "\n| method | takes | gives | |\n|---|---|---|---|\n",
        "enum" => "\n| value | number | |\n|---|---|---|\n",
        _ => "\n| field | number | type | |\n|---|---|---|---|\n",
    });
    let link = |of: &str| linked(package, of, known);
    for Row { name, number, takes, gives, choice, about } in rows {
        let about = about.replace('|', "\\|");
        let choice = choice.as_ref().map(|choice| format!("one of `{choice}`. ")).unwrap_or_default();
        let _ = match kind.as_str() {
            "service" => writeln!(page, "| `{name}` | {} | {} | {about} |", link(takes), link(gives)),
            "enum" => writeln!(page, "| `{name}` | {number} | {about} |"),
            _ => {
                writeln!(page, "| `{name}` | {number} | {} | {} |", link(takes), (choice + &about).trim_end())
            }
        };
    }
}

/// Of its package only the last parts: two packages may have a message of the same name.
fn heading(package: &str, name: &str) -> String {
    format!("{}.{name}", package.trim_start_matches("starling."))
}

fn linked(package: &str, of: &str, known: &[&Item]) -> String {
    let (before, name) = of.rsplit_once(' ').map_or(("", of), |(before, name)| (before, name));
    if !known.iter().any(|item| item.name == name) {
        return format!("`{of}`");
    }
    let heading = heading(package, name).to_lowercase().replace('.', "");
    format!("{before} [`{name}`](#{heading})").trim_start().to_owned()
}

fn all(files: &[File]) -> Vec<(Proto, Findings)> {
    files.iter().filter(|file| file.path.ends_with(".proto")).map(read).collect()
}

/// As our files are written: a statement on a line, comments on lines of their own before it, no options.
fn read(file: &File) -> (Proto, Findings) {
    let mut proto = Proto { path: file.path.clone(), ..Proto::default() };
    let (mut strange, mut comment) = (Findings::new(), String::new());
    let (mut is_open, mut choice) = (false, None);
    for (at, line) in file.text.lines().map(str::trim).enumerate() {
        if let Some(text) = line.strip_prefix("//") {
            comment = format!("{comment} {}", text.trim()).trim_start().to_owned();
            continue;
        }
        let about = std::mem::take(&mut comment);
        if line.starts_with("syntax ") {
            proto.about = about;
        } else if let Some(package) = line.strip_prefix("package ") {
            proto.package = package.trim_end_matches(';').to_owned();
        } else if line.is_empty() || line.starts_with("import ") {
        } else if line == "}" {
            is_open &= choice.take().is_some();
        } else if let Some(name) = line.strip_prefix("oneof ").and_then(|rest| rest.strip_suffix(" {")) {
            choice = Some(name.to_owned());
        } else if let Some(item) = opened(line, &about) {
            is_open = !line.ends_with('}');
            proto.items.push(item);
        } else if let Some(row) = row(line, &about, choice.as_deref()).filter(|_| is_open)
            && let Some(item) = proto.items.last_mut()
        {
            item.rows.push(row);
        } else {
            strange.push(format!("{}:{}: the page of gRPC does not understand this line", file.path, at + 1));
        }
    }
    (proto, strange)
}

fn opened(line: &str, about: &str) -> Option<Item> {
    let (kind, rest) = line.split_once(' ')?;
    let name = rest.strip_suffix(" {}").or_else(|| rest.strip_suffix(" {"))?;
    let is_kind = ["service", "message", "enum"].contains(&kind) && !name.contains(' ');
    is_kind.then(|| Item { kind: kind.into(), name: name.into(), about: about.into(), rows: Vec::new() })
}

fn row(line: &str, about: &str, choice: Option<&str>) -> Option<Row> {
    let (about, choice) = (about.to_owned(), choice.map(str::to_owned));
    let line = line.strip_suffix(';')?;
    if let Some(method) = line.strip_prefix("rpc ") {
        // Step(StepRequest) returns (StepReply)
        let (name, rest) = method.split_once('(')?;
        let (takes, gives) = rest.split_once(") returns (")?;
        let side = |side: &str| match side.strip_prefix("stream ") {
            Some(of) => format!("a stream of {of}"),
            None => side.to_owned(),
        };
        let (takes, gives) = (side(takes), side(gives.strip_suffix(')')?));
        return Some(Row { name: name.to_owned(), takes, gives, about, ..Row::default() });
    }
    let (before, number) = line.split_once(" = ")?;
    number.parse::<u32>().ok()?;
    let (takes, name) = before.rsplit_once(' ').unwrap_or(("", before));
    let (takes, name, number) = (takes.to_owned(), name.to_owned(), number.to_owned());
    Some(Row { name, number, takes, choice, about, gives: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    const TEXT: &str = "// About it.\nsyntax = \"proto3\";\n\npackage starling.a.v1;\n\nimport \"b.proto\";\n\nservice Ask {\n  // One\n  // question.\n  \
        rpc Do(Question) returns (stream Answer);\n}\n\n// Of somebody.\nmessage Question {\n  // Whose | it is.\n  optional string name = 1;\n  oneof body {\n    \
        repeated Answer answers = 2;\n    bytes raw = 3;\n  }\n  uint32 last = 4;\n}\n\nmessage Answer {}\n\nenum Kind {\n  KIND_NONE = 0;\n}\n";

    #[test]
    fn services_messages_and_fields_are_shown_with_their_comments() {
        let files = [file("proto/a.proto", TEXT)];
        assert_eq!(protos(&files), Findings::new());
        let page = page(&files);
        for part in [
            "\n## starling.a.v1\n\n[proto/a.proto](../../proto/a.proto): About it.\n",
            "\n### a.v1.Ask\n\nA service.\n",
            "| `Do` | [`Question`](#av1question) | a stream of [`Answer`](#av1answer) | One question. |\n",
            "\n### a.v1.Question\n\nOf somebody.\n",
            "| `name` | 1 | `optional string` | Whose \\| it is. |\n",
            "| `answers` | 2 | repeated [`Answer`](#av1answer) | one of `body`. |\n",
            "| `last` | 4 | `uint32` |  |\n",
            "\n### a.v1.Answer\n\nNothing is in it.\n",
            "\n### a.v1.Kind\n\nOne of these values.\n\n| value | number | |\n|---|---|---|\n| `KIND_NONE` | 0 |  |\n",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }

    #[test]
    fn a_line_that_would_be_missing_on_the_page_is_found() {
        for line in ["map<string, string> names = 1;", "reserved 4;", "string name = 1 [deprecated = true];"]
        {
            let text = TEXT.replace("uint32 last = 4;", line);
            let found = protos(&[file("proto/a.proto", &text)]);
            let is_map = line.starts_with("map");
            assert_eq!(found.len(), usize::from(!is_map), "{line}: {found:?}");
        }
    }
}
