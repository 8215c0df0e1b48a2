//! `starling token`: makes a token for administration over the network.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use starling_admin::{Role, hash, is_name, new_token};

use super::say;

/// Tokens for administration over the network.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make one: it is printed and kept nowhere. The server is told its hash.
    New {
        /// What it is called in the audit log: letters, digits, `-`, `_` and `.`.
        name: String,
        /// What it is for: read (to look), operate (also to end sessions, to drain, to look for a message), admin (everything).
        #[arg(long, default_value = "read")]
        role: Role,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Action::New { name, role } = &arguments.action;
    ensure!(is_name(name), "{name:?} is not the name of a token: letters, digits, `-`, `_` and `.`");
    let token = new_token().map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let (role, hash) = (role.as_str(), hash(&token));
    let table = if name.contains('.') { format!("{name:?}") } else { name.clone() };
    say(&format!("token: {token}\n\nIn the configuration of the server:\n"));
    say(&format!("[api.tokens.{table}]\nrole = {role:?}\nhash = {hash:?}\n"));
    say(&format!("Or a line in the file that `api.tokens-file` names:\n\n{name} {role} {hash}"));
    Ok(ExitCode::SUCCESS)
}
