//! Hostile XML in, canonical XML out: the reader, the writer, the element tree.
#![forbid(unsafe_code)]

mod chars;
mod document;
mod element;
mod error;
mod limits;
mod name;
pub mod ns;
mod parse;
mod payloads;
mod raw;
mod reader;
mod scan;
mod scope;
mod spans;
mod stanza;
mod writer;

pub use document::{Document, IsContainer, Piece};
pub use element::{Element, Node};
pub use error::XmlError;
pub use limits::Limits;
pub use name::{Attribute, Head, Name, Word};
pub use payloads::Payloads;
pub use raw::Raw;
pub use reader::{Event, Framing, Reader};
pub use spans::{child, without};
pub use writer::{escape_attr, escape_text, write_attr};

/// A namespace that the code knows by name.
pub type Ns = &'static str;
