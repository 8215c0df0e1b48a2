//! XEP-0115 Entity Capabilities: a digest of what the server can do, told once a stream.
//!
//! Version 1.6.0 of XEP-0115: partial; the server tells its own, and passes on what clients tell of theirs without reading or leaving out any (§8.4).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use starling_xml::{Element, ns};

use super::{disco, form};
use crate::Context;
use crate::hooks::{Hooks, Xep, XepInfo};

/// The server's own capabilities.
#[derive(Debug)]
pub(super) struct Caps;

/// Which software.
const NODE: &str = "https://starling.im/";

impl Xep for Caps {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[115], server: &[ns::CAPS], account: &[] }
    }
    fn attach(self: Arc<Self>, _: &mut Hooks) {}
}

/// §6.3: what stands among the stream's features.
pub(crate) fn feature(cx: &Context) -> Element {
    Element::new(ns::CAPS, "c")
        .with_attr("hash", "sha-1")
        .with_attr("node", NODE)
        .with_attr("ver", version(&disco::server(cx)))
}

/// Whether a node of disco#info is the present digest (§6.2).
pub(crate) fn is_ours(cx: &Context, node: &str) -> bool {
    let Some(version_) = node.strip_prefix(NODE).and_then(|rest| rest.strip_prefix('#')) else {
        return false;
    };
    version_ == version(&disco::server(cx))
}

/// §5.1.
fn version(query: &Element) -> String {
    let named = |name: &'static str| query.children().filter(move |child| child.is(ns::DISCO_INFO, name));
    let identity = |one: &Element| {
        let part = |name: &str| one.attr(name).unwrap_or_default().to_owned();
        format!("{}/{}/{}/{}<", part("category"), part("type"), part("xml:lang"), part("name"))
    };
    let mut identities: Vec<String> = named("identity").map(identity).collect();
    let mut features: Vec<&str> = named("feature").filter_map(|one| one.attr("var")).collect();
    identities.sort_unstable();
    features.sort_unstable();
    let mut text = identities.concat();
    features.iter().for_each(|feature| text.extend([feature, "<"]));
    let mut forms: Vec<&Element> = query.children().filter(|child| child.is(ns::DATA, "x")).collect();
    forms.sort_by_key(|one| form::values(one, "FORM_TYPE"));
    for one in forms {
        let mut fields: Vec<&str> = one.children().filter_map(|field| field.attr("var")).collect();
        fields.sort_unstable();
        let of = |var: &str| form::values(one, var).unwrap_or_default();
        of("FORM_TYPE").iter().for_each(|kind| text.extend([kind, "<"]));
        for var in fields.into_iter().filter(|var| *var != "FORM_TYPE") {
            let mut values = of(var);
            values.sort_unstable();
            text.extend([var, "<"]);
            values.iter().for_each(|value| text.extend([value, "<"]));
        }
    }
    STANDARD.encode(Sha1::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of §5.2.
    #[test]
    fn the_digest_is_that_of_the_xep() {
        let mut query = Element::new(ns::DISCO_INFO, "query").with_child(
            Element::new(ns::DISCO_INFO, "identity")
                .with_attr("category", "client")
                .with_attr("name", "Exodus 0.9.1")
                .with_attr("type", "pc"),
        );
        for var in [ns::DISCO_ITEMS, ns::CAPS, ns::DISCO_INFO, ns::MUC] {
            query = query.with_child(Element::new(ns::DISCO_INFO, "feature").with_attr("var", var));
        }
        assert_eq!(version(&query), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }

    /// The example of §5.3, with everything in another order: identities in two languages, and a form.
    #[test]
    fn order_does_not_matter_and_forms_count() {
        let xml = "<query xmlns='http://jabber.org/protocol/disco#info'>\
            <feature var='http://jabber.org/protocol/muc'/>\
            <x xmlns='jabber:x:data' type='result'>\
            <field var='software_version'><value>0.11</value></field>\
            <field var='os'><value>Mac</value></field>\
            <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>\
            <field var='ip_version' type='text-multi'><value>ipv6</value><value>ipv4</value></field>\
            <field var='software'><value>Psi</value></field>\
            <field var='os_version'><value>10.5.1</value></field></x>\
            <feature var='http://jabber.org/protocol/caps'/>\
            <identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>\
            <feature var='http://jabber.org/protocol/disco#items'/>\
            <identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>\
            <feature var='http://jabber.org/protocol/disco#info'/></query>";
        let query = Element::parse(xml.as_bytes(), ns::CLIENT).unwrap();
        assert_eq!(version(&query), "q07IKJEyjvHSyhy//CH0CxmKi8w=");
    }
}
