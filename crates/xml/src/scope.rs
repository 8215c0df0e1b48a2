//! Which prefix means which namespace, in what is read and in what is written.

use std::borrow::Cow;

use crate::ns;

/// A declaration. The empty prefix is the default namespace.
#[derive(Debug, Clone)]
struct Binding<'a> {
    prefix: Cow<'a, str>,
    uri: Cow<'a, str>,
}

/// Declarations in force, innermost last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope<'a>(Vec<Binding<'a>>);

impl<'a> Scope<'a> {
    /// What `prefix` means here; the default namespace is none where it is not declared.
    pub(crate) fn resolve(&self, prefix: &str) -> Option<Cow<'a, str>> {
        match prefix {
            "xml" => Some(Cow::Borrowed(ns::XML)),
            _ => match self.0.iter().rev().find(|binding| binding.prefix == prefix) {
                Some(binding) => Some(binding.uri.clone()),
                None => prefix.is_empty().then_some(Cow::Borrowed("")),
            },
        }
    }
    pub(crate) fn declare(&mut self, prefix: Cow<'a, str>, uri: Cow<'a, str>) {
        self.0.push(Binding { prefix, uri });
    }
    /// How many there are, to come back to.
    pub(crate) fn mark(&self) -> usize {
        self.0.len()
    }
    pub(crate) fn rewind(&mut self, mark: usize) {
        self.0.truncate(mark);
    }
    /// Kept beyond the text that they were read from.
    pub(crate) fn into_owned(self) -> Scope<'static> {
        let own = |binding: Binding<'_>| Binding {
            prefix: Cow::Owned(binding.prefix.into_owned()),
            uri: Cow::Owned(binding.uri.into_owned()),
        };
        Scope(self.0.into_iter().map(own).collect())
    }
    /// The same, borrowed.
    pub(crate) fn borrowed(&self) -> Scope<'_> {
        let lend = |binding| {
            let Binding { prefix, uri }: &Binding<'_> = binding;
            Binding { prefix: Cow::Borrowed(&**prefix), uri: Cow::Borrowed(&**uri) }
        };
        Scope(self.0.iter().map(lend).collect())
    }
}
