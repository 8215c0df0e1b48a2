// The people one talks with and what was said: no document, no socket.

import { NS, bare, child, localpart, stamp } from "./xmpp.js";

const RANK = ["available", "away", "busy"];
const SPOKEN = { available: "Online", away: "Away", busy: "Do not disturb", offline: "Offline" };

/** One person: a roster item, a stranger who wrote, or both. */
export class Contact {
  inRoster = false;
  name = "";
  subscription = "none";
  asked = false;
  resources = new Map();
  messages = [];
  loaded = false;
  loading = false;
  complete = false;
  first = null;
  unread = 0;
  preview = null;
  draft = "";

  constructor(jid) {
    this.jid = jid;
  }

  get title() {
    return this.name || localpart(this.jid);
  }

  get show() {
    const shows = [...this.resources.values()];
    return RANK.find((show) => shows.includes(show)) ?? "offline";
  }

  get note() {
    if (this.resources.size > 0 || ["to", "both"].includes(this.subscription)) return SPOKEN[this.show];
    if (this.asked) return "Waiting for approval";
    return this.inRoster ? "Not subscribed" : "Not in your contacts";
  }
}

/** What a message says in a one-to-one chat, or null if it says nothing that we show. */
export function read(message, account, sentAt = null, archiveId = null) {
  const type = message.getAttribute("type") ?? "normal";
  const body = child(message, NS.client, "body");
  if (!body || !["chat", "normal"].includes(type)) return null;
  const from = bare(message.getAttribute("from")) || account;
  const mine = from === account;
  const peer = mine ? bare(message.getAttribute("to")) : from;
  if (!peer) return null;
  // Only our own server's ids count, and only the ones it put there itself (XEP-0359 §5).
  const stamped = [...message.children].find(
    (item) => item.localName === "stanza-id" && item.namespaceURI === NS.sid && bare(item.getAttribute("by")) === account,
  );
  return {
    peer,
    entry: {
      id: message.getAttribute("id"),
      archiveId: archiveId ?? stamped?.getAttribute("id") ?? null,
      mine,
      text: body.textContent,
      time: sentAt ?? stamp(child(message, NS.delay, "delay")) ?? new Date(),
      failed: null,
    },
  };
}

export function isSame(one, other) {
  if (one.archiveId && other.archiveId) return one.archiveId === other.archiveId;
  return one.mine === other.mine && one.id !== null && one.id === other.id && one.text === other.text;
}

/** Adds `entry` unless it is there, in which case the old one learns its archive id. */
export function append(person, entry) {
  const known = person.messages.find((old) => isSame(old, entry));
  if (known) {
    known.archiveId ??= entry.archiveId;
    return false;
  }
  person.messages.push(entry);
  person.preview = entry;
  return true;
}
