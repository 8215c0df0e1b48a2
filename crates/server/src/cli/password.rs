//! The password that a command is to set: as an argument, from standard input, or made.

use std::io::{IsTerminal, Stdin, Write};

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::complain;

/// As it stands in the command line.
#[derive(Debug, Args)]
pub(super) struct Given {
    /// `-`: read from standard input, and asked for on a terminal; left out: made, and printed. One that stands here can be seen by
    /// every user of the machine while the command runs, in `ps`.
    password: Option<String>,
}

impl Given {
    /// The password, and the same once more if it was made.
    pub(super) fn or_made(&self) -> Result<(String, Option<String>)> {
        match self.password.as_deref() {
            Some("-") => Ok((read(&std::io::stdin())?, None)),
            Some(password) => Ok((password.to_owned(), None)),
            None => {
                let made = crate::quickstart::password()?;
                Ok((made.clone(), Some(made)))
            }
        }
    }
}

/// One line; from a terminal without showing it.
fn read(stdin: &Stdin) -> Result<String> {
    let hidden = stdin.is_terminal().then(|| Hidden::new(stdin)).transpose()?;
    let mut line = String::new();
    let read = stdin.read_line(&mut line).context("reading the password")?;
    if hidden.is_some() {
        complain(""); // the Enter was hidden as well
    }
    let password = line.trim_end_matches(['\r', '\n']);
    if read == 0 || password.is_empty() {
        bail!("no password came by standard input");
    }
    Ok(password.to_owned())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden<'a>(&'a Stdin, Termios);

impl Hidden<'_> {
    fn new(terminal: &Stdin) -> Result<Hidden<'_>> {
        let before = tcgetattr(terminal).context("asking the terminal")?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO;
        tcsetattr(terminal, OptionalActions::Flush, &quiet).context("asking the terminal")?;
        let _ = write!(std::io::stderr(), "password: ");
        Ok(Hidden(terminal, before))
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.0, OptionalActions::Now, &self.1);
    }
}
