//! The page about the commands for `docs/reference`, made from what the document of the REST interface is made of.

use std::fmt::Write;

use crate::commands::{COMMANDS, Command};
use crate::describe::{Described, Field, Kind};

const HEAD: &str = "# Administration: gRPC and REST\n\nMade by `make docs` from the list of commands (`crates/admin/src/commands.rs`) and \
    `proto/starling/admin/v1/admin.proto`. The same commands are `starling ctl`;\n`/v1/openapi.json` has the document for programs. \
    How to serve it: [how-to/admin.md](../how-to/admin.md).\n\n\
    REST: `Authorization: Bearer TOKEN`; fields stand in the path, in the query (GET, DELETE) or in a JSON body (POST, PUT). gRPC: service\n\
    `starling.admin.v1.Admin` on the same port, with the metadata `authorization: Bearer TOKEN`. What is refused: 400 `INVALID_ARGUMENT`,\n\
    401 `UNAUTHENTICATED`, 403 `PERMISSION_DENIED`, 404 `NOT_FOUND`, 409 `FAILED_PRECONDITION`, 429 `RESOURCE_EXHAUSTED`, 503 `UNAVAILABLE`;\n\
    JSON then has `error`.\n";

/// The page.
pub fn markdown() -> String {
    let described = Described::read();
    let mut page = HEAD.to_owned();
    let _ = writeln!(page, "\n| Command | Role | REST | gRPC |\n|---|---|---|---|");
    for command in COMMANDS {
        let Command { name, method, role, verb, path } = command;
        let _ = writeln!(
            page,
            "| [{name}](#{name}) | `{}` | `{} {path}` | `{method}` |",
            role.as_str(),
            verb.as_str()
        );
    }
    for command in COMMANDS {
        let _ = writeln!(page, "\n## {}\n\n{}", command.name, described.about(command));
        table(&mut page, "asks", &described, described.fields(&command.request()));
        table(&mut page, "gets", &described, described.fields(&described.answer(command)));
    }
    let parts =
        described.messages.iter().filter(|(name, _)| !name.ends_with("Request") && !name.ends_with("Answer"));
    for (name, shape) in parts {
        let _ = writeln!(page, "\n## {name}\n\n{}", shape.about);
        table(&mut page, "part", &described, &shape.fields);
    }
    page
}

/// Under which heading a message is described: an answer under its command.
fn heading(described: &Described, message: &str) -> String {
    let answers = COMMANDS.iter().find(|command| described.answer(command) == message);
    answers.map_or_else(|| message.to_lowercase(), |command| command.name.to_owned())
}

fn table(page: &mut String, of: &str, described: &Described, fields: &[Field]) {
    if fields.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n| {of} | type | |\n|---|---|---|");
    for field in fields {
        let kind = match &field.kind {
            Kind::Text => "text".to_owned(),
            Kind::Integer => "integer".to_owned(),
            Kind::Number => "number".to_owned(),
            Kind::Boolean => "boolean".to_owned(),
            Kind::Message(name) => format!("[{name}](#{})", heading(described, name)),
        };
        let list = if field.is_list { "list of " } else { "" };
        let optional = if field.is_optional { ", need not be there" } else { "" };
        let _ = writeln!(page, "| `{}` | {list}{kind}{optional} | {} |", field.name, field.about);
    }
}
