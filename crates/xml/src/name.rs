//! Names and attributes of elements, held cheaply: what the protocol says all day long costs no memory.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::ns;
use crate::writer::escape_attr;

/// Local names that stanzas are made of, those of messages and their acknowledgements first.
const WORDS: &[&str] = &[
    "to",
    "from",
    "id",
    "type",
    "message",
    "body",
    "a",
    "r",
    "h",
    "lang",
    "presence",
    "iq",
    "query",
    "show",
    "status",
    "priority",
    "thread",
    "c",
    "x",
    "request",
    "received",
    "active",
    "composing",
    "paused",
    "origin-id",
    "stanza-id",
    "delay",
    "ping",
    "item",
    "group",
    "error",
    "subject",
    "store",
    "stream",
    "auth",
    "response",
    "version",
];

/// A piece of text that is mostly one of a few: those are not copied.
#[derive(Clone)]
pub struct Word(Form);

#[derive(Clone)]
enum Form {
    Known(&'static str),
    Other(Arc<str>),
}

impl Word {
    /// A namespace.
    pub(crate) fn ns(text: &str) -> Word {
        Word::find(ns::KNOWN, text)
    }
    /// A local name.
    pub(crate) fn local(text: &str) -> Word {
        Word::find(WORDS, text)
    }
    fn find(known: &[&'static str], text: &str) -> Word {
        if text.is_empty() {
            return Word(Form::Known(""));
        }
        match known.iter().find(|word| **word == text) {
            Some(word) => Word(Form::Known(word)),
            None => Word(Form::Other(text.into())),
        }
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Form::Known(text) => text,
            Form::Other(text) => text,
        }
    }
}

impl Default for Word {
    fn default() -> Word {
        Word(Form::Known(""))
    }
}

impl Deref for Word {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Word {
    fn eq(&self, other: &Word) -> bool {
        match (&self.0, &other.0) {
            (Form::Other(one), Form::Other(two)) if Arc::ptr_eq(one, two) => true,
            _ => self.as_str() == other.as_str(),
        }
    }
}

impl Eq for Word {}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An expanded name: namespace and local name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Name {
    pub(crate) ns: Word,
    pub(crate) local: Word,
}

impl Name {
    /// The name `local` in the namespace `ns`.
    pub fn new(ns: &str, local: &str) -> Name {
        Name { ns: Word::ns(ns), local: Word::local(local) }
    }
    /// The namespace; empty if it is in none.
    pub fn ns(&self) -> &str {
        &self.ns
    }
    /// The name without a prefix.
    pub fn local(&self) -> &str {
        &self.local
    }
    /// Whether it is `<local xmlns='ns'/>`.
    pub fn is(&self, ns: &str, local: &str) -> bool {
        self.local == *local && self.ns == *ns
    }
}

/// An attribute; namespace declarations are none.
#[derive(Debug, Clone)]
pub struct Attribute {
    pub(crate) ns: Option<Word>,
    pub(crate) prefix: Word, // as it was written; says nothing about what the attribute is
    pub(crate) local: Word,
    pub(crate) value: String,
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Attribute) -> bool {
        self.ns == other.ns && self.local == other.local && self.value == other.value
    }
}

impl Eq for Attribute {}

impl Attribute {
    /// The attribute `name`, where `xml:` stands for its namespace.
    pub(crate) fn new(name: &str, value: String) -> Attribute {
        match name.strip_prefix("xml:") {
            Some(local) => Attribute {
                ns: Some(Word::ns(ns::XML)),
                prefix: Word::local("xml"),
                local: Word::local(local),
                value,
            },
            None => Attribute { ns: None, prefix: Word::default(), local: Word::local(name), value },
        }
    }
    /// The namespace, if it has one: an attribute without a prefix has none.
    pub fn ns(&self) -> Option<&str> {
        self.ns.as_deref()
    }
    /// The name without a prefix.
    pub fn local(&self) -> &str {
        &self.local
    }
    /// The value, normalised.
    pub fn value(&self) -> &str {
        &self.value
    }
    pub(crate) fn is_named(&self, name: &str) -> bool {
        match (&self.ns, name.strip_prefix("xml:")) {
            (Some(ns), Some(local)) => *ns == ns::XML && self.local == *local,
            (None, None) => self.local == *name,
            _ => false,
        }
    }
}

/// Writes attributes with the declarations that their prefixes need.
pub(crate) fn write_attributes(out: &mut Vec<u8>, attributes: &[Attribute]) {
    for (index, attribute) in attributes.iter().enumerate() {
        let before = attributes.get(..index).unwrap_or_default();
        match &attribute.ns {
            None => out.push(b' '),
            Some(ns) if *ns == ns::XML => out.extend_from_slice(b" xml:"),
            Some(ns) => {
                let prefix = &attribute.prefix;
                let same = |other: &&Attribute| other.ns.is_some() && other.prefix == *prefix;
                let clash = before.iter().filter(same).any(|other| other.ns.as_ref() != Some(ns));
                let prefix = match clash || prefix.is_empty() || *prefix == "xml" {
                    true => format!("ns{index}..{}", attribute.local), // no other prefix can look like it
                    false => prefix.to_string(),
                };
                if clash || !before.iter().any(|other| same(&other)) {
                    out.extend_from_slice(b" xmlns:");
                    out.extend_from_slice(prefix.as_bytes());
                    out.extend_from_slice(b"='");
                    escape_attr(out, ns);
                    out.push(b'\'');
                }
                out.push(b' ');
                out.extend_from_slice(prefix.as_bytes());
                out.push(b':');
            }
        }
        out.extend_from_slice(attribute.local.as_bytes());
        out.extend_from_slice(b"='");
        escape_attr(out, &attribute.value);
        out.push(b'\'');
    }
}

/// A start tag with its attributes resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// The element's name.
    pub name: Name,
    /// Its attributes, in the order they came.
    pub attributes: Vec<Attribute>,
    /// The default namespace in force inside: for a stream header, that of its content.
    pub default_ns: Word,
}

impl Head {
    /// The value of the attribute `local` that is in no namespace.
    pub fn attribute(&self, local: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.ns.is_none() && attribute.local == *local)
            .map(Attribute::value)
    }
    /// The value of the attribute `local` in the namespace `ns`.
    pub fn attribute_ns(&self, ns: &str, local: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| {
                attribute.local == *local && attribute.ns.as_ref().is_some_and(|own| *own == *ns)
            })
            .map(Attribute::value)
    }
}
