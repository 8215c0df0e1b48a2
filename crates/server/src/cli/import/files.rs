//! The files of an export (XEP-0227 §3, §4), as one stream of what is in them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use starling_xml::{Document, Head, Limits, Piece, Raw};

use super::super::pie::{ARCHIVE, PIE};
use super::include;

const XINCLUDE: &str = "http://www.w3.org/2001/XInclude";

/// For each element that comes whole: a vCard with its picture, a roster, a message.
const LIMITS: Limits =
    Limits { bytes: 16 << 20, depth: 64, attributes: 256, namespaces: 1024, children: 200_000 };
const STEP: usize = 64 << 10;

/// What is read.
#[derive(Debug)]
pub(super) enum Item {
    /// A domain begins.
    Host(String),
    /// An account begins.
    User { name: String, password: Option<String> },
    /// Something of the account.
    Data(Raw),
    /// A message that waits for it.
    Offline(Raw),
    /// A message of its archive.
    Archived(Raw),
    /// The account ends.
    UserEnd,
    /// Nothing that this format has in such a place.
    Unknown,
}

/// What is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Server,
    Host,
    User,
    Offline,
    Archive,
}

impl Kind {
    fn of(head: &Head) -> Option<Kind> {
        let kinds = [
            (PIE, "server-data", Kind::Server),
            (PIE, "host", Kind::Host),
            (PIE, "user", Kind::User),
            (PIE, "offline-messages", Kind::Offline),
            (ARCHIVE, "archive", Kind::Archive),
        ];
        kinds.into_iter().find(|(ns, local, _)| head.name.is(ns, local)).map(|(_, _, kind)| kind)
    }

    fn may_contain(self, other: Kind) -> bool {
        matches!(
            (self, other),
            (Kind::Server, Kind::Host)
                | (Kind::Host, Kind::User)
                | (Kind::User, Kind::Offline | Kind::Archive)
        )
    }
}

fn is_container(path: &[Head], head: &Head) -> bool {
    let Some(kind) = Kind::of(head) else { return false };
    path.last().is_none_or(|parent| Kind::of(parent).is_some_and(|parent| parent.may_contain(kind)))
}

/// A file that is being read.
struct Open {
    file: File,
    path: PathBuf,
    document: Document,
}

/// All files, one after another, each read once and at flat memory.
pub(super) struct Files {
    base: PathBuf,
    waiting: VecDeque<PathBuf>,
    open: Vec<Open>,
    within: Vec<Kind>,
    buffer: Vec<u8>,
}

impl Files {
    /// The main file, or all main files of a directory.
    pub(super) fn of(place: &Path) -> Result<Files> {
        let place = place.canonicalize().with_context(|| format!("{}", place.display()))?;
        let (base, waiting) = if place.is_dir() {
            let files = main_files(&place)?;
            ensure!(
                !files.is_empty(),
                "{}: no file in it begins with <server-data xmlns='{PIE}'>",
                place.display()
            );
            (place, files)
        } else {
            (place.parent().unwrap_or(&place).to_owned(), VecDeque::from([place]))
        };
        Ok(Files { base, waiting, open: Vec::new(), within: Vec::new(), buffer: vec![0; STEP] })
    }

    /// Where it is: file and line.
    pub(super) fn place(&self) -> String {
        let place = |open: &Open| format!("{}:{}", open.path.display(), open.document.line());
        self.open.last().map(place).unwrap_or_default()
    }

    /// The next item; `None` at the end of all files.
    pub(super) fn next(&mut self) -> Result<Option<Item>> {
        loop {
            let Some(open) = self.open.last_mut() else {
                let Some(path) = self.waiting.pop_front() else { return Ok(None) };
                self.enter_file(path)?;
                continue;
            };
            let place = |open: &Open| format!("{}:{}", open.path.display(), open.document.line());
            match open.document.read().with_context(|| place(open))? {
                None => {
                    let length = open.file.read(&mut self.buffer).with_context(|| place(open))?;
                    open.document.push(self.buffer.get(..length).unwrap_or_default());
                    if length == 0 {
                        ensure!(open.document.is_complete(), "{}: it ends here, unfinished", place(open));
                        self.open.pop();
                    }
                }
                Some(piece) => {
                    if let Some(item) = self.item(piece)? {
                        return Ok(Some(item));
                    }
                }
            }
        }
    }

    fn enter_file(&mut self, path: PathBuf) -> Result<()> {
        let file = File::open(&path).with_context(|| format!("{}", path.display()))?;
        self.open.push(Open { file, path, document: Document::new(LIMITS, is_container) });
        Ok(())
    }

    fn item(&mut self, piece: Piece) -> Result<Option<Item>> {
        match piece {
            Piece::Enter(head) => self.enter(&head),
            Piece::Leave => Ok((self.within.pop() == Some(Kind::User)).then_some(Item::UserEnd)),
            Piece::Element(raw) => self.element(raw),
        }
    }

    fn enter(&mut self, head: &Head) -> Result<Option<Item>> {
        let Some(kind) = Kind::of(head) else {
            bail!("{}: <{}/> is entered", self.place(), head.name.local())
        };
        let fits = match self.within.last() {
            None => matches!(kind, Kind::Server | Kind::Host),
            Some(parent) => parent.may_contain(kind),
        };
        ensure!(fits, "{}: <{}/> does not belong here", self.place(), head.name.local());
        let attribute = |name: &str| match head.attribute(name) {
            Some(value) => Ok(value.to_owned()),
            None => bail!("{}: <{}/> has no {name}", self.place(), head.name.local()),
        };
        let item = match kind {
            Kind::Host => Some(Item::Host(attribute("jid")?)),
            Kind::User => {
                let password = head.attribute("password").map(str::to_owned);
                Some(Item::User { name: attribute("name")?, password })
            }
            Kind::Server | Kind::Offline | Kind::Archive => None,
        };
        self.within.push(kind);
        Ok(item)
    }

    fn element(&mut self, raw: Raw) -> Result<Option<Item>> {
        let within = self.within.last().copied();
        let includes = matches!(within, Some(Kind::Server | Kind::Host | Kind::User));
        if includes && raw.head.name.is(XINCLUDE, "include") {
            let place = self.place();
            let from = self.open.last().map(|open| open.path.clone()).unwrap_or_default();
            self.enter_file(include::resolve(&self.base, &from, &raw.head).context(place)?)?;
            ensure!(self.open.len() < 8, "{}: includes are too deep", self.place());
            return Ok(None);
        }
        Ok(Some(match within {
            Some(Kind::User) => Item::Data(raw),
            Some(Kind::Offline) => Item::Offline(raw),
            Some(Kind::Archive) => Item::Archived(raw),
            Some(Kind::Server | Kind::Host) => Item::Unknown,
            None => bail!(
                "{}: it begins with <{}/>, not with <server-data xmlns='{PIE}'>",
                self.place(),
                raw.head.name.local()
            ),
        }))
    }
}

/// Those that begin with `<server-data/>`: what they include is found through them.
fn main_files(directory: &Path) -> Result<VecDeque<PathBuf>> {
    let mut found = Vec::new();
    for entry in directory.read_dir().with_context(|| format!("{}", directory.display()))? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|end| end == "xml") && is_main(&path)? {
            found.push(path);
        }
    }
    found.sort();
    Ok(found.into())
}

fn is_main(path: &Path) -> Result<bool> {
    let mut start = vec![0; STEP];
    let length = File::open(path).and_then(|mut file| file.read(&mut start));
    let length = length.with_context(|| format!("{}", path.display()))?;
    let mut document = Document::new(LIMITS, is_container);
    document.push(start.get(..length).unwrap_or_default());
    Ok(matches!(document.read(), Ok(Some(Piece::Enter(head))) if Kind::of(&head) == Some(Kind::Server)))
}
