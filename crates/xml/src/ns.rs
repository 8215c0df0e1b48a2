//! All namespaces, each with the RFC or XEP that defines it.

/// RFC 6120 §4.8.2: client-to-server stanzas.
pub const CLIENT: &str = "jabber:client";
/// RFC 6120 §4.8.1: the stream itself.
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// RFC 6120 §4.9: conditions of stream errors.
pub const STREAMS_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// RFC 6120 §8.3: conditions of stanza errors.
pub const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// RFC 6120 §5: STARTTLS.
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// RFC 6120 §6: SASL.
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// RFC 6120 §7: resource binding.
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// RFC 3921 §3: session establishment.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// RFC 6121 §2: roster.
pub const ROSTER: &str = "jabber:iq:roster";
/// RFC 6121 §2.6: roster versions.
pub const ROSTERVER: &str = "urn:xmpp:features:rosterver";
/// RFC 6121 §3.4: pre-approval of subscriptions.
pub const SUB_PREAPPROVAL: &str = "urn:xmpp:features:pre-approval";
/// RFC 7395 §3.3: framing over WebSocket.
pub const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// XEP-0124: BOSH.
pub const HTTPBIND: &str = "http://jabber.org/protocol/httpbind";
/// XEP-0206: XMPP over BOSH.
pub const XBOSH: &str = "urn:xmpp:xbosh";
/// XEP-0198: stream management.
pub const SM: &str = "urn:xmpp:sm:3";
/// XEP-0352: client state indication.
pub const CSI: &str = "urn:xmpp:csi:0";
/// XEP-0280: message carbons.
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// XEP-0297: stanza forwarding.
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// XEP-0313: message archive.
pub const MAM: &str = "urn:xmpp:mam:2";
/// XEP-0313: message archive, extended queries.
pub const MAM_EXTENDED: &str = "urn:xmpp:mam:2#extended";
/// XEP-0059: result set management.
pub const RSM: &str = "http://jabber.org/protocol/rsm";
/// XEP-0359: unique and stable stanza ids.
pub const SID: &str = "urn:xmpp:sid:0";
/// XEP-0203: delayed delivery.
pub const DELAY: &str = "urn:xmpp:delay";
/// XEP-0334: message processing hints.
pub const HINTS: &str = "urn:xmpp:hints";
/// XEP-0030: service discovery, features.
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030: service discovery, items.
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XEP-0115: entity capabilities.
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// XEP-0077: in-band registration.
pub const REGISTER: &str = "jabber:iq:register";
/// XEP-0077: in-band registration as a stream feature.
pub const REGISTER_FEATURE: &str = "http://jabber.org/features/iq-register";
/// XEP-0092: software version.
pub const VERSION: &str = "jabber:iq:version";
/// XEP-0202: entity time.
pub const TIME: &str = "urn:xmpp:time";
/// XEP-0199: ping.
pub const PING: &str = "urn:xmpp:ping";
/// XEP-0012: last activity.
pub const LAST: &str = "jabber:iq:last";
/// XEP-0049: private XML storage.
pub const PRIVATE: &str = "jabber:iq:private";
/// XEP-0054: vcard-temp.
pub const VCARD: &str = "vcard-temp";
/// XEP-0153: vCard-based avatars.
pub const VCARD_UPDATE: &str = "vcard-temp:x:update";
/// XEP-0191: blocking command.
pub const BLOCKING: &str = "urn:xmpp:blocking";
/// XEP-0191: the error that says who is blocked.
pub const BLOCKING_ERRORS: &str = "urn:xmpp:blocking:errors";
/// XEP-0004: data forms.
pub const DATA: &str = "jabber:x:data";
/// XEP-0184: delivery receipts.
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// XEP-0333: displayed markers.
pub const CHAT_MARKERS: &str = "urn:xmpp:chat-markers:0";
/// XEP-0085: chat state notifications.
pub const CHATSTATES: &str = "http://jabber.org/protocol/chatstates";
/// XEP-0308: last message correction.
pub const CORRECT: &str = "urn:xmpp:message-correct:0";
/// XEP-0045: multi-user chat.
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// XEP-0045: multi-user chat, from the room.
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// XEP-0060: publish-subscribe.
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// XEP-0060: publish-subscribe, notifications.
pub const PUBSUB_EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// XEP-0060: publish-subscribe, for owners.
pub const PUBSUB_OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// XEP-0172: user nickname.
pub const NICK: &str = "http://jabber.org/protocol/nick";
/// XEP-0066: out of band data.
pub const OOB: &str = "jabber:x:oob";
/// XEP-0461: message replies.
pub const REPLY: &str = "urn:xmpp:reply:0";
/// XEP-0380: explicit message encryption.
pub const EME: &str = "urn:xmpp:eme:0";
/// XEP-0384: OMEMO encryption.
pub const OMEMO: &str = "eu.siacs.conversations.axolotl";
/// XEP-0384: OMEMO encryption, since version 0.8.
pub const OMEMO_2: &str = "urn:xmpp:omemo:2";
/// XEP-0373: OpenPGP for XMPP.
pub const OPENPGP: &str = "urn:xmpp:openpgp:0";
/// XEP-0353: Jingle message initiation.
pub const JINGLE_MESSAGE: &str = "urn:xmpp:jingle-message:0";
/// XEP-0249: direct invitations to rooms.
pub const CONFERENCE: &str = "jabber:x:conference";
/// XEP-0372: references.
pub const REFERENCE: &str = "urn:xmpp:reference:0";
/// XEP-0444: message reactions.
pub const REACTIONS: &str = "urn:xmpp:reactions:0";
/// XEP-0424: message retraction.
pub const RETRACT: &str = "urn:xmpp:message-retract:1";
/// XEP-0122: validation of data forms.
pub const VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";
/// XEP-0440: channel-binding type capability.
pub const SASL_CB: &str = "urn:xmpp:sasl-cb:0";
/// XEP-0388: extensible SASL profile.
pub const SASL2: &str = "urn:xmpp:sasl:2";
/// XEP-0386: bind 2.
pub const BIND2: &str = "urn:xmpp:bind:0";
/// XEP-0478: stream limits advertisement.
pub const STREAM_LIMITS: &str = "urn:xmpp:stream-limits:0";
/// Namespaces in XML §3: the prefix `xml`.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Namespaces in XML §3: the prefix `xmlns`.
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// Those which need no memory of their own when they are read; the commonest first.
pub(crate) const KNOWN: &[&str] = &[
    CLIENT,
    STREAM,
    STREAMS_ERRORS,
    STANZAS,
    TLS,
    SASL,
    BIND,
    SESSION,
    ROSTER,
    ROSTERVER,
    SUB_PREAPPROVAL,
    FRAMING,
    HTTPBIND,
    XBOSH,
    SM,
    CSI,
    CARBONS,
    FORWARD,
    MAM,
    MAM_EXTENDED,
    RSM,
    SID,
    DELAY,
    HINTS,
    DISCO_INFO,
    DISCO_ITEMS,
    CAPS,
    REGISTER,
    REGISTER_FEATURE,
    VERSION,
    TIME,
    PING,
    LAST,
    PRIVATE,
    VCARD,
    VCARD_UPDATE,
    BLOCKING,
    BLOCKING_ERRORS,
    DATA,
    RECEIPTS,
    CHAT_MARKERS,
    CHATSTATES,
    CORRECT,
    MUC,
    MUC_USER,
    PUBSUB,
    PUBSUB_EVENT,
    PUBSUB_OWNER,
    NICK,
    OOB,
    REPLY,
    EME,
    OMEMO,
    OMEMO_2,
    OPENPGP,
    JINGLE_MESSAGE,
    CONFERENCE,
    REFERENCE,
    REACTIONS,
    RETRACT,
    VALIDATE,
    SASL_CB,
    SASL2,
    BIND2,
    STREAM_LIMITS,
    XML,
    XMLNS,
];
