//! Which server `starling ctl` asks: the one of a data directory on this machine, or one over the network.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use starling_admin::Client;

/// As it stands in the command line.
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// Ask a server over the network, such as https://chat.example:5282, that serves `[api]`.
    #[arg(long, value_name = "URL", global = true, display_order = 103)]
    server: Option<String>,
    /// A file with the token for it.
    #[arg(long, value_name = "FILE", global = true, display_order = 104)]
    token_file: Option<PathBuf>,
    /// Authorities in PEM form to believe its certificate by, instead of the system's.
    #[arg(long, value_name = "FILE", global = true, display_order = 105)]
    ca_file: Option<PathBuf>,
}

impl Remote {
    /// The server to ask over the network, if one is named.
    pub(super) fn client(&self) -> Result<Option<Client>> {
        match (&self.server, &self.token_file) {
            (None, None) if self.ca_file.is_none() => Ok(None),
            (Some(server), Some(file)) => {
                Ok(Some(Client::new(server, &token(file)?, self.ca_file.as_deref())?))
            }
            (Some(_), None) => bail!("--server wants a token: name its file with --token-file"),
            (None, _) => bail!("--token-file and --ca-file are for a server that --server names"),
        }
    }
}

fn token(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    match text.trim() {
        token if token.is_empty() || token.contains(char::is_whitespace) => {
            bail!("{} is to hold a token and nothing else", path.display())
        }
        token => Ok(token.to_owned()),
    }
}

/// The same request as by the control socket.
pub(super) async fn ask(client: &Client, request: &Value) -> Result<Value> {
    let mut fields = request.as_object().cloned().unwrap_or_default();
    let name = fields.remove("op").unwrap_or_default();
    fields.retain(|_, value| !value.is_null());
    Ok(client.ask(name.as_str().unwrap_or_default(), fields).await?)
}
