//! Which prefix means which namespace, in what is read and in what is written.

use std::borrow::Cow;

use crate::ns;

/// A declaration. The empty prefix is the default namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Binding<'a> {
    prefix: Cow<'a, str>,
    uri: Cow<'a, str>,
}

/// Declarations in force, innermost last, upon those of the stream or of the element itself. Nothing is allocated for
/// an element that declares nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope<'a> {
    /// What the stream header has declared.
    outer: &'a [Binding<'static>],
    /// The default namespace where nothing declares one.
    default_ns: &'a str,
    own: Vec<Binding<'a>>,
}

/// What a stream header has declared.
#[derive(Debug, Default)]
pub(crate) struct Declared(Box<[Binding<'static>]>);

impl Declared {
    /// What the header of a client declares that declares nothing of its own (RFC 6120 §4.8).
    pub(crate) fn usual() -> Declared {
        let binding = |(prefix, uri)| Binding { prefix: Cow::Borrowed(prefix), uri: Cow::Borrowed(uri) };
        Declared([("", ns::CLIENT), ("stream", ns::STREAM)].map(binding).into())
    }

    /// Whether `other` declares the same, in whatever order.
    pub(crate) fn is_same(&self, other: &Declared) -> bool {
        self.0.len() == other.0.len() && self.0.iter().all(|binding| other.0.contains(binding))
    }

    /// The scope of the stream's elements.
    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope { outer: &self.0, ..Scope::default() }
    }
}

impl<'a> Scope<'a> {
    /// Where `ns` is the default namespace and nothing else is declared.
    pub(crate) fn of(ns: &'a str) -> Scope<'a> {
        Scope { default_ns: ns, ..Scope::default() }
    }
    /// What `prefix` means here; the default namespace is none where it is not declared.
    pub(crate) fn resolve(&self, prefix: &str) -> Option<Cow<'a, str>> {
        if prefix == "xml" {
            return Some(Cow::Borrowed(ns::XML));
        }
        if let Some(binding) = self.own.iter().rev().find(|binding| binding.prefix == prefix) {
            return Some(binding.uri.clone());
        }
        match self.outer.iter().rev().find(|binding| binding.prefix == prefix) {
            Some(binding) => Some(Cow::Borrowed(&binding.uri)),
            None => prefix.is_empty().then_some(Cow::Borrowed(self.default_ns)),
        }
    }
    /// Whether `prefix` means `uri` here.
    pub(crate) fn says(&self, prefix: &str, uri: &str) -> bool {
        if let Some(binding) = self.own.iter().rev().find(|binding| binding.prefix == prefix) {
            return binding.uri == *uri;
        }
        match self.outer.iter().rev().find(|binding| binding.prefix == prefix) {
            Some(binding) => binding.uri == *uri,
            None => prefix.is_empty() && self.default_ns == uri,
        }
    }
    pub(crate) fn declare(&mut self, prefix: Cow<'a, str>, uri: Cow<'a, str>) {
        self.own.push(Binding { prefix, uri });
    }
    /// How many there are, to come back to.
    pub(crate) fn mark(&self) -> usize {
        self.own.len()
    }
    pub(crate) fn rewind(&mut self, mark: usize) {
        self.own.truncate(mark);
    }
    /// All that holds here, kept beyond the text that it was read from.
    pub(crate) fn into_all_declared(self) -> Declared {
        let mut all = self.outer.to_vec();
        all.extend(self.into_declared().0);
        Declared(all.into())
    }
    /// Its own declarations, kept beyond the text that they were read from.
    pub(crate) fn into_declared(self) -> Declared {
        let own = |binding: Binding<'_>| Binding {
            prefix: Cow::Owned(binding.prefix.into_owned()),
            uri: Cow::Owned(binding.uri.into_owned()),
        };
        Declared(self.own.into_iter().map(own).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(bindings: &[(&'static str, &'static str)]) -> Declared {
        let mut scope = Scope::default();
        bindings.iter().for_each(|(prefix, uri)| scope.declare((*prefix).into(), (*uri).into()));
        scope.into_declared()
    }

    #[test]
    fn only_what_says_the_same_is_the_usual() {
        let (client, stream) = (("", ns::CLIENT), ("stream", ns::STREAM));
        for (bindings, is_same) in [
            (vec![client, stream], true),
            (vec![stream, client], true),
            (vec![client], false),
            (vec![client, ("s", ns::STREAM)], false),
            (vec![("", ns::STREAM), ("stream", ns::CLIENT)], false),
            (vec![client, stream, ("c", ns::CLIENT)], false),
        ] {
            assert_eq!(declared(&bindings).is_same(&Declared::usual()), is_same, "{bindings:?}");
        }
    }
}
