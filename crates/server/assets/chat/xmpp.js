// XMPP over WebSocket (RFC 7395): connect, log in, bind, keep alive, come back; what a chat page needs and no more.

import { Scram } from "./scram.js";

export const NS = {
  client: "jabber:client",
  framing: "urn:ietf:params:xml:ns:xmpp-framing",
  streams: "http://etherx.jabber.org/streams",
  sasl: "urn:ietf:params:xml:ns:xmpp-sasl",
  bind: "urn:ietf:params:xml:ns:xmpp-bind",
  roster: "jabber:iq:roster",
  carbons: "urn:xmpp:carbons:2",
  forward: "urn:xmpp:forward:0",
  delay: "urn:xmpp:delay",
  mam: "urn:xmpp:mam:2",
  rsm: "http://jabber.org/protocol/rsm",
  form: "jabber:x:data",
  sid: "urn:xmpp:sid:0",
  ping: "urn:xmpp:ping",
  disco: "http://jabber.org/protocol/disco#info",
  stanzas: "urn:ietf:params:xml:ns:xmpp-stanzas",
};

const ANSWER_WITHIN = 20_000;
const QUIET_FOR = 30_000;
const LONGEST_PAUSE = 60_000;
// What no second attempt can mend (RFC 6120 §4.9.3, §6.5): the user has to act first.
const FINAL = new Set(["not-authorized", "account-disabled", "credentials-expired", "conflict", "host-unknown"]);

const maker = document.implementation.createDocument(null, null);

/** An element in `ns`; children are elements or text. The browser escapes, so text cannot become markup. */
export function element(ns, name, attributes = {}, ...children) {
  const made = maker.createElementNS(ns, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(key, clean(String(value)));
  }
  made.append(...children.filter((child) => child !== null).map((child) => (typeof child === "string" ? clean(child) : child)));
  return made;
}

/** What XML 1.0 §2.2 forbids would end the stream, so it is left out. */
function clean(text) {
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "");
}

export function child(parent, ns, name) {
  if (!parent) return null;
  return [...parent.children].find((item) => item.localName === name && item.namespaceURI === ns) ?? null;
}

export function bare(jid) {
  return (jid ?? "").split("/", 1)[0].toLowerCase();
}

export function localpart(jid) {
  const at = jid.indexOf("@");
  return at < 0 ? jid : jid.slice(0, at);
}

export class StanzaError extends Error {
  constructor(stanza) {
    const error = child(stanza, NS.client, "error");
    const parts = error ? [...error.children] : [];
    const named = parts.find((item) => item.namespaceURI === NS.stanzas && item.localName !== "text");
    super(child(error, NS.stanzas, "text")?.textContent || named?.localName || "The server refused.");
    this.condition = named?.localName ?? "undefined-condition";
  }
}

/** Events: `state` (detail: {state, reason, retryIn}), `online`, `message`, `presence`, `roster` (detail: the element). */
export class Connection extends EventTarget {
  jid = null;
  #url;
  #account;
  #password;
  #socket = null;
  #scram = null;
  #authenticated = false;
  #wanted = false;
  #failure = null;
  #attempt = 0;
  #retry = 0;
  #watch = 0;
  #lastHeard = 0;
  #serial = 0;
  #waiting = new Map();

  constructor(url, account, password) {
    super();
    this.#url = url;
    this.#account = bare(account);
    this.#password = password;
    addEventListener("online", () => this.#hurry());
  }

  get account() {
    return this.#account;
  }

  get online() {
    return this.jid !== null;
  }

  connect() {
    this.#wanted = true;
    this.#open();
  }

  disconnect() {
    this.#wanted = false;
    clearTimeout(this.#retry);
    this.#password = "";
    if (this.online) this.send(element(NS.client, "presence", { type: "unavailable" }));
    this.#close();
    this.#announce("closed");
  }

  send(stanza) {
    if (this.#socket?.readyState !== WebSocket.OPEN) throw new Error("Not connected.");
    this.#socket.send(new XMLSerializer().serializeToString(stanza));
  }

  /** Sends a request and resolves with its answer, which must come from whom it was sent to (RFC 6120 §8.2.3). */
  request(type, payload, to) {
    const id = this.freshId();
    const answered = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error("The server did not answer in time."));
      }, ANSWER_WITHIN);
      this.#waiting.set(id, { to: bare(to), resolve, reject, timer });
    });
    try {
      this.send(element(NS.client, "iq", { type, id, to }, payload));
    } catch (error) {
      this.#settle(id, (waiter) => waiter.reject(error));
    }
    return answered;
  }

  freshId() {
    this.#serial += 1;
    return `${this.#serial}-${crypto.randomUUID()}`;
  }

  #open() {
    this.#announce("connecting");
    this.#authenticated = false;
    this.#failure = null;
    this.#scram = null;
    const socket = new WebSocket(this.#url, "xmpp");
    this.#socket = socket;
    socket.addEventListener("open", () => this.#restart());
    socket.addEventListener("message", ({ data }) => socket === this.#socket && this.#frame(data));
    socket.addEventListener("close", () => socket === this.#socket && this.#lost());
    this.#lastHeard = Date.now();
    clearInterval(this.#watch);
    this.#watch = setInterval(() => this.#keepAlive(), QUIET_FOR / 2);
  }

  #restart() {
    this.send(element(NS.framing, "open", { to: this.#account.split("@")[1], version: "1.0" }));
  }

  #close() {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.send(element(NS.framing, "close"));
    }
    this.#socket?.close();
  }

  #fail(condition, words) {
    this.#failure ??= { condition, words };
    this.#close();
  }

  #lost() {
    clearInterval(this.#watch);
    this.jid = null;
    this.#socket = null;
    for (const id of [...this.#waiting.keys()]) {
      this.#settle(id, (waiter) => waiter.reject(new Error("The connection was lost.")));
    }
    if (!this.#wanted) return;
    if (this.#failure && FINAL.has(this.#failure.condition)) {
      this.#wanted = false;
      this.#announce("failed", { reason: this.#failure.words });
      return;
    }
    const pause = Math.min(LONGEST_PAUSE, 1000 * 2 ** this.#attempt) * (0.5 + Math.random() / 2);
    this.#attempt += 1;
    this.#announce("waiting", { retryIn: pause, reason: this.#failure?.words });
    this.#retry = setTimeout(() => this.#open(), pause);
  }

  #hurry() {
    if (!this.#wanted || this.#socket) return;
    clearTimeout(this.#retry);
    this.#open();
  }

  #keepAlive() {
    const quiet = Date.now() - this.#lastHeard;
    if (quiet > QUIET_FOR + ANSWER_WITHIN) {
      const socket = this.#socket;
      socket?.close(); // a dead peer answers no close frame: do not wait for it
      this.#lost();
    } else if (quiet > QUIET_FOR && this.online) {
      this.request("get", element(NS.ping, "ping")).catch(() => {});
    }
  }

  #announce(state, more = {}) {
    this.#emit("state", { state, ...more });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #settle(id, finish) {
    const waiter = this.#waiting.get(id);
    if (!waiter) return;
    this.#waiting.delete(id);
    clearTimeout(waiter.timer);
    finish(waiter);
  }

  #frame(data) {
    this.#lastHeard = Date.now();
    const parsed = new DOMParser().parseFromString(data, "application/xml");
    const root = parsed.documentElement;
    if (parsed.getElementsByTagName("parsererror").length > 0) {
      this.#fail("not-well-formed", "The server sent what is not XML.");
      return;
    }
    if (root.namespaceURI === NS.framing) {
      if (root.localName === "close") this.#close();
    } else if (root.namespaceURI === NS.streams) {
      if (root.localName === "features") this.#features(root);
      if (root.localName === "error") this.#streamError(root);
    } else if (root.namespaceURI === NS.sasl) {
      this.#sasl(root).catch((error) => this.#fail("not-authorized", error.message));
    } else if (root.namespaceURI === NS.client) {
      this.#stanza(root);
    }
  }

  #features(features) {
    if (this.#authenticated) {
      this.#bind().catch((error) => this.#fail("bind", error.message));
      return;
    }
    const offered = [...(child(features, NS.sasl, "mechanisms")?.children ?? [])].map((item) => item.textContent.trim());
    if (!offered.includes("SCRAM-SHA-256")) {
      this.#fail("not-authorized", "The server offers no login that this page trusts (SCRAM-SHA-256).");
      return;
    }
    this.#scram = new Scram(localpart(this.#account), this.#password);
    this.send(element(NS.sasl, "auth", { mechanism: "SCRAM-SHA-256" }, this.#scram.first()));
  }

  async #sasl(answer) {
    const socket = this.#socket;
    if (!this.#scram) throw new Error("The server skipped a step of the login.");
    if (answer.localName === "challenge") {
      const response = await this.#scram.final(answer.textContent);
      if (socket === this.#socket) this.send(element(NS.sasl, "response", {}, response));
    } else if (answer.localName === "success") {
      if (!this.#scram.verifies(answer.textContent)) throw new Error("The server could not prove that it knows this account.");
      this.#scram = null;
      this.#authenticated = true;
      this.#restart();
    } else if (answer.localName === "failure") {
      const condition = answer.firstElementChild?.localName ?? "not-authorized";
      const wrong = condition === "not-authorized";
      this.#fail(condition, wrong ? "Address or password is wrong." : `The server refused the login: ${condition}.`);
    }
  }

  async #bind() {
    const result = await this.request("set", element(NS.bind, "bind"));
    const jid = child(child(result, NS.bind, "bind"), NS.bind, "jid")?.textContent;
    if (!jid) throw new Error("The server gave this session no address.");
    this.jid = jid;
    this.#account = bare(jid);
    this.#attempt = 0;
    this.#announce("online");
    this.#emit("online");
  }

  #streamError(error) {
    const condition = error.firstElementChild?.localName ?? "undefined-condition";
    const words = condition === "conflict" ? "This session was ended by another one." : `The server ended the stream: ${condition}.`;
    this.#fail(condition, words);
  }

  /** Nothing, our bare address, our full one or our domain: the server speaking for our account (RFC 6120 §8.1.2.1). */
  isOurs(stanza) {
    const from = stanza.getAttribute("from");
    return !from || bare(from) === this.#account;
  }

  #stanza(stanza) {
    if (stanza.localName === "iq") this.#iq(stanza);
    else if (stanza.localName === "message" || stanza.localName === "presence") this.#emit(stanza.localName, stanza);
  }

  #iq(iq) {
    const type = iq.getAttribute("type");
    const id = iq.getAttribute("id");
    if (type === "result" || type === "error") {
      const waiter = this.#waiting.get(id);
      if (!waiter) return;
      const from = bare(iq.getAttribute("from"));
      const expected = waiter.to ? from === waiter.to : !from || from === this.#account || from === this.#account.split("@")[1];
      if (!expected) return;
      this.#settle(id, () => (type === "result" ? waiter.resolve(iq) : waiter.reject(new StanzaError(iq))));
      return;
    }
    const query = child(iq, NS.roster, "query");
    if (type === "set" && query && this.isOurs(iq)) {
      this.send(element(NS.client, "iq", { type: "result", id, to: iq.getAttribute("from") }));
      this.#emit("roster", query);
    } else if (type === "get" && child(iq, NS.ping, "ping")) {
      this.send(element(NS.client, "iq", { type: "result", id, to: iq.getAttribute("from") }));
    } else {
      const error = element(NS.client, "error", { type: "cancel" }, element(NS.stanzas, "service-unavailable"));
      this.send(element(NS.client, "iq", { type: "error", id, to: iq.getAttribute("from") }, error));
    }
  }

  /** One page of the archive (XEP-0313, XEP-0059), oldest first: the one before `before` ("" is the latest) or after `after`. */
  async history({ withJid = null, before, after, max = 30 }) {
    const queryid = this.freshId();
    const found = [];
    const collect = ({ detail: message }) => {
      const result = child(message, NS.mam, "result");
      if (result?.getAttribute("queryid") === queryid && this.isOurs(message)) {
        const inner = unwrap(result);
        if (inner) found.push({ archiveId: result.getAttribute("id"), ...inner });
      }
    };
    const field = (name, value) => element(NS.form, "field", { var: name }, element(NS.form, "value", {}, value));
    const form = element(NS.form, "x", { type: "submit" }, field("FORM_TYPE", NS.mam), withJid ? field("with", withJid) : null);
    const edge = after ? element(NS.rsm, "after", {}, after) : element(NS.rsm, "before", {}, before ?? "");
    const set = element(NS.rsm, "set", {}, element(NS.rsm, "max", {}, String(max)), edge);
    this.addEventListener("message", collect);
    try {
      const answer = await this.request("set", element(NS.mam, "query", { queryid }, form, set));
      const fin = child(answer, NS.mam, "fin");
      const page = child(fin, NS.rsm, "set");
      return {
        messages: found,
        first: child(page, NS.rsm, "first")?.textContent ?? null,
        last: child(page, NS.rsm, "last")?.textContent ?? null,
        complete: fin?.getAttribute("complete") === "true",
      };
    } finally {
      this.removeEventListener("message", collect);
    }
  }
}

/** The message inside a `<forwarded/>` (XEP-0297) and when it was sent. */
export function unwrap(wrapper) {
  const forwarded = child(wrapper, NS.forward, "forwarded");
  const message = child(forwarded, NS.client, "message");
  if (!message) return null;
  return { message, sentAt: stamp(child(forwarded, NS.delay, "delay")) };
}

/** The time a `<delay/>` (XEP-0203) tells, or null. */
export function stamp(delay) {
  const time = new Date(delay?.getAttribute("stamp") ?? NaN);
  return Number.isNaN(time.getTime()) ? null : time;
}
