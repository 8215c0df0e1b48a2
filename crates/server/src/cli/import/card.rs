//! vCards of today, nodes of publish-subscribe (XEP-0292), as the vCard (XEP-0054) that this server keeps.

use starling_xml::{Element, ns};

const NODE: &str = "urn:xmpp:vcard4";
const VCARD4: &str = "urn:ietf:params:xml:ns:vcard-4.0";
const AVATAR: &str = "urn:xmpp:avatar:data";
const METADATA: &str = "urn:xmpp:avatar:metadata";

/// Where the text of a property lies, there and here.
const PROPERTIES: [(&str, &[&str]); 11] = [
    ("fn", &["FN"]),
    ("nickname", &["NICKNAME"]),
    ("bday", &["BDAY"]),
    ("email", &["EMAIL", "USERID"]),
    ("tel", &["TEL", "NUMBER"]),
    ("impp", &["JABBERID"]),
    ("title", &["TITLE"]),
    ("role", &["ROLE"]),
    ("org", &["ORG", "ORGNAME"]),
    ("url", &["URL"]),
    ("note", &["DESC"]),
];
const NAME: [(&str, &str); 5] = [
    ("surname", "FAMILY"),
    ("given", "GIVEN"),
    ("additional", "MIDDLE"),
    ("prefix", "PREFIX"),
    ("suffix", "SUFFIX"),
];

/// The vCard that the nodes of a user make, with the avatar (XEP-0084); `None` if there is nothing of the kind.
pub(super) fn of_nodes(pubsub: &Element) -> Option<Element> {
    let mut card = Element::new(ns::VCARD, "vCard");
    if let Some(vcard) = payload(pubsub, NODE, VCARD4, "vcard") {
        for property in vcard.children() {
            if let Some(own) = converted(property) {
                card.push(own);
            }
        }
    }
    if let Some(photo) = photo(pubsub) {
        card.push(photo);
    }
    (!card.nodes().is_empty()).then_some(card)
}

/// Whether these items are looked at here.
pub(super) fn is_read(items: &Element) -> bool {
    matches!(items.attr("node"), Some(NODE | AVATAR | METADATA))
}

/// What lies in the newest item of a node.
fn payload<'a>(pubsub: &'a Element, node: &str, space: &str, name: &str) -> Option<&'a Element> {
    let items =
        pubsub.children().find(|items| items.is(ns::PUBSUB, "items") && items.attr("node") == Some(node))?;
    items.children().filter_map(|item| item.child(space, name)).last()
}

fn converted(property: &Element) -> Option<Element> {
    if property.is(VCARD4, "n") {
        let parts =
            NAME.iter().filter_map(|(there, here)| Some((*here, filled(property.child(VCARD4, there)?)?)));
        let name =
            parts.fold(Element::new(ns::VCARD, "N"), |name, (here, text)| name.with_child(leaf(here, &text)));
        return (!name.nodes().is_empty()).then_some(name);
    }
    let (_, path) = PROPERTIES.iter().find(|(there, _)| property.is(VCARD4, there))?;
    let text = property.children().find_map(filled)?;
    let text = text.strip_prefix("xmpp:").or_else(|| text.strip_prefix("tel:")).unwrap_or(&text);
    match path {
        [only] => Some(leaf(only, text)),
        [outer, inner] => Some(Element::new(ns::VCARD, outer).with_child(leaf(inner, text))),
        _ => None,
    }
}

fn photo(pubsub: &Element) -> Option<Element> {
    let data = filled(payload(pubsub, AVATAR, AVATAR, "data")?)?;
    let metadata = payload(pubsub, METADATA, METADATA, "metadata");
    let kind =
        metadata.and_then(|metadata| metadata.child(METADATA, "info")?.attr("type")).unwrap_or("image/png");
    Some(Element::new(ns::VCARD, "PHOTO").with_child(leaf("TYPE", kind)).with_child(leaf("BINVAL", &data)))
}

fn filled(element: &Element) -> Option<String> {
    let text = element.text().trim_ascii().to_owned();
    (!text.is_empty()).then_some(text)
}

fn leaf(name: &str, text: &str) -> Element {
    Element::new(ns::VCARD, name).with_text(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_nodes_say_becomes_a_card() {
        let node = |name: &str, payload: &str| {
            format!("<items node='{name}'><item id='current'>{payload}</item></items>")
        };
        let vcard = "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>Al &amp; Co</text></fn><n><surname>L</surname><given/></n>\
                     <email><text>a@a.example</text></email><impp><uri>xmpp:a@a.example</uri></impp><x><text>no</text></x>\
                     <nickname><text/></nickname></vcard>";
        let data = "<data xmlns='urn:xmpp:avatar:data'>QUJD</data>";
        let metadata =
            "<metadata xmlns='urn:xmpp:avatar:metadata'><info type='image/gif' id='x'/></metadata>";
        let read = |items: &str| {
            let text = format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'>{items}</pubsub>");
            let card = of_nodes(&Element::parse(text.as_bytes(), "").unwrap())?;
            Some(String::from_utf8(card.to_bytes(ns::CLIENT).to_vec()).unwrap())
        };
        let nodes = [node(NODE, vcard), node(AVATAR, data), node(METADATA, metadata)].concat();
        let card = "<vCard xmlns='vcard-temp'><FN>Al &amp; Co</FN><N><FAMILY>L</FAMILY></N><EMAIL><USERID>a@a.example</USERID></EMAIL>\
                    <JABBERID>a@a.example</JABBERID><PHOTO><TYPE>image/gif</TYPE><BINVAL>QUJD</BINVAL></PHOTO></vCard>";
        assert_eq!(read(&nodes).as_deref(), Some(card));
        assert_eq!(read(&node("http://jabber.org/protocol/nick", "<nick/>")), None);
    }
}
