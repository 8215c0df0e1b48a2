//! XEP-0227 Portable Import/Export Format for XMPP-IM Servers: `starling export` writes all accounts, for another server or for this one.

mod account;
mod file;
mod messages;
mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use starling_jid::BareJid;
use starling_xml::escape_attr;

use super::{Place, block_on, complain, pie, say};
use file::Whole;
use source::Source;

/// Names of one step.
const STEP: usize = 200;

/// Write all accounts into a file, as XEP-0227 describes it.
///
/// SCRAM keys, contacts, vCards, private XML, block lists, what is to be archived, messages that wait, and archives. From the embedded store, whose server must be stopped, or, with `mode = "cluster"`, from
/// the CQL store of a cluster: best while it is stopped, for what changes meanwhile is in the file or not. `starling import` reads it.
/// Whoever reads the file may try passwords against its keys; it is for its owner alone (mode 0600).
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The file. It must not be there yet, and is there only when it is whole.
    to: PathBuf,
}

/// What was written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    accounts: usize,
    contacts: usize,
    documents: usize,
    blocked: usize,
    archived: usize,
    waiting: usize,
    /// Accounts that have no keys.
    keyless: usize,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = arguments.place.load()?;
    let counts = block_on(async {
        let source = Source::open(&config).await?;
        let written = export(&source, &arguments.to).await;
        source.close();
        written
    })?;
    let Counts { accounts, contacts, documents, blocked, archived, waiting, keyless } = counts;
    say(&format!(
        "exported: {accounts} accounts, {contacts} contacts, {documents} documents, {blocked} blocked addresses, {archived} archived \
         messages, {waiting} messages that wait"
    ));
    if keyless > 0 {
        complain(&format!("note: {keyless} accounts have no password: nobody signs in there"));
    }
    Ok(ExitCode::SUCCESS)
}

/// One domain after another; of an account no more is held than its roster, its documents and a page of messages.
async fn export(source: &Source, to: &Path) -> Result<Counts> {
    let (mut out, mut counts) = (Whole::create(to)?, Counts::default());
    out.write(
        format!("<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='{}'>\n", pie::PIE).as_bytes(),
    )?;
    for domain in domains(source).await? {
        out.write(&opened("host", "jid", &domain))?;
        let mut names = Names::default();
        while let Some(owner) = names.next(source).await? {
            if owner.domain() == domain {
                let written = account::write(source, &owner, &mut out, &mut counts).await;
                written.with_context(|| format!("the account {owner}"))?;
            }
        }
        out.write(b"</host>\n")?;
    }
    out.write(b"</server-data>\n")?;
    out.finish()?;
    Ok(counts)
}

/// Names come in the order of whole addresses, but a domain stands in the file once.
async fn domains(source: &Source) -> Result<BTreeSet<String>> {
    let (mut domains, mut names) = (BTreeSet::new(), Names::default());
    while let Some(owner) = names.next(source).await? {
        if !domains.contains(owner.domain()) {
            domains.insert(owner.domain().to_owned());
        }
    }
    Ok(domains)
}

/// All names, read step by step.
#[derive(Default)]
struct Names {
    read: std::collections::VecDeque<BareJid>,
    last: Option<BareJid>,
    is_complete: bool,
}

impl Names {
    async fn next(&mut self, source: &Source) -> Result<Option<BareJid>> {
        if self.read.is_empty() && !self.is_complete {
            self.read = source.stores().list(self.last.as_ref(), STEP).await?.into();
            self.is_complete = self.read.is_empty();
        }
        let next = self.read.pop_front();
        self.last = next.clone().or(self.last.take());
        Ok(next)
    }
}

/// A start tag with one attribute, on a line.
fn opened(name: &str, attribute: &str, value: &str) -> Vec<u8> {
    let mut out = format!("<{name} {attribute}='").into_bytes();
    escape_attr(&mut out, value);
    out.extend_from_slice(b"'>\n");
    out
}
