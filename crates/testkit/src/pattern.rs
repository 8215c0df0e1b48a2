//! What a story expects: an element that says only what matters.

use crate::Tree;

/// Whether `found` has the name and namespace of `expected`, all its attributes, its text if it has any, and, in
/// order, its children. More may be there. The attribute value `*` matches any; `!` only absence.
pub fn matches(expected: &Tree, found: &Tree) -> bool {
    if expected.name != found.name || expected.ns != found.ns {
        return false;
    }
    let attributes = expected.attributes.iter().all(|(key, value)| match value.as_str() {
        "*" => found.attr(key).is_some(),
        "!" => found.attr(key).is_none(),
        value => found.attr(key) == Some(value),
    });
    if !attributes || (!expected.text.trim().is_empty() && expected.text != found.text) {
        return false;
    }
    let mut rest = found.children.iter();
    expected.children.iter().all(|wanted| rest.any(|child| matches(wanted, child)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &str, found: &str) -> bool {
        matches(
            &Tree::parse(expected, "jabber:client").unwrap(),
            &Tree::parse(found, "jabber:client").unwrap(),
        )
    }

    #[test]
    fn a_pattern_says_only_what_matters() {
        let found = "<message from='a' id='1'><x xmlns='u'/><body>hi &amp; ho</body></message>";
        assert!(check("<message/>", found));
        assert!(check("<message from='a' id='*' type='!'><body>hi &amp; ho</body></message>", found));
        assert!(check("<message><x xmlns='u'/><body/></message>", found));
    }

    #[test]
    fn what_differs_does_not_match() {
        let found = "<message from='a'><x xmlns='u'/><body>hi</body></message>";
        for expected in [
            "<presence/>",
            "<message from='b'/>",
            "<message id='*'/>",
            "<message from='!'/>",
            "<message><body>ho</body></message>",
            "<message><x/></message>",
            "<message><body/><x xmlns='u'/></message>",
        ] {
            assert!(!check(expected, found), "{expected}");
        }
    }
}
