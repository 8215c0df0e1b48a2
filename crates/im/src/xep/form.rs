//! XEP-0004 Data Forms: as much of them as the server writes and reads.
//!
//! Version 2.13.2 of XEP-0004: partial; the forms of archives and contact addresses, without `reported` and `item`.

use starling_xml::{Element, ns};

/// A field with its values.
pub(crate) fn field<'a>(var: &str, kind: Option<&str>, values: impl IntoIterator<Item = &'a str>) -> Element {
    let mut field = Element::new(ns::DATA, "field").with_attr("var", var);
    if let Some(kind) = kind {
        field.set_attr("type", kind);
    }
    let value = |text: &str| Element::new(ns::DATA, "value").with_text(text);
    values.into_iter().map(value).fold(field, Element::with_child)
}

/// The values of the field `var` in a form.
pub(crate) fn values(form: &Element, var: &str) -> Option<Vec<String>> {
    let field =
        form.children().find(|child| child.is(ns::DATA, "field") && child.attr("var") == Some(var))?;
    Some(field.children().filter(|child| child.is(ns::DATA, "value")).map(Element::text).collect())
}
