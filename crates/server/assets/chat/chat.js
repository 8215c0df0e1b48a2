// The page: what the user sees and does. Everything others wrote enters the document as text, never as markup.

import { Contact, append, isSame, read } from "./people.js";
import { Connection, NS, bare, child, element, localpart, unwrap } from "./xmpp.js";

const PAGE = 30;
const MOST_CATCH_UP_PAGES = 50;
const MOST_STRANGERS = 100;
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

const at = (id) => document.getElementById(id);

let connection = null;
let contacts = new Map();
let requests = new Set();
let current = null;
let lastArchived = null;
let caughtUp = false;

function make(tag, classes = "", text = null) {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  if (text !== null) made.textContent = text;
  return made;
}

function contact(jid) {
  const key = bare(jid);
  if (!contacts.has(key)) contacts.set(key, new Contact(key));
  return contacts.get(key);
}

function hue(jid) {
  let sum = 0;
  for (const char of jid) sum = (sum * 31 + char.codePointAt(0)) % 8191;
  return `hue-${sum % 8}`;
}

function paintAvatar(avatar, jid, title) {
  avatar.className = `avatar ${hue(jid)}`;
  avatar.textContent = ([...title][0] ?? "?").toUpperCase();
}

// --- Signing in ---

/** Same host, `/ws`. Another server can be named while developing, and only from loopback to loopback. */
function socketUrl() {
  const override = new URLSearchParams(location.search).get("ws");
  if (override && LOOPBACK.has(location.hostname) && URL.canParse(override)) {
    const url = new URL(override);
    if (LOOPBACK.has(url.hostname) && ["ws:", "wss:"].includes(url.protocol)) return url.href;
  }
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws`;
}

function prefill() {
  const user = new URLSearchParams(location.hash.slice(1)).get("user");
  if (user) at("address").value = user;
  (user ? at("password") : at("address")).focus();
}

function signIn(event) {
  event.preventDefault();
  const address = at("address").value.trim();
  const password = at("password").value;
  if (!/^[^@/\s]+@[^@/\s]+$/.test(address)) return loginFailed("An address looks like alice@localhost.");
  if (!globalThis.crypto?.subtle) return loginFailed("Signing in needs https, or http://localhost.");
  at("login-error").hidden = true;
  at("login-button").disabled = true;
  at("login-button").textContent = "Signing in…";
  connection = new Connection(socketUrl(), address, password);
  connection.addEventListener("state", onState);
  connection.addEventListener("online", onOnline);
  connection.addEventListener("message", onMessage);
  connection.addEventListener("presence", onPresence);
  connection.addEventListener("roster", ({ detail }) => {
    applyRoster(detail);
    paintContacts();
  });
  connection.connect();
}

function loginFailed(reason) {
  at("login-error").textContent = reason;
  at("login-error").hidden = false;
  at("login-button").disabled = false;
  at("login-button").textContent = "Sign in";
}

function showLogin() {
  connection = null;
  contacts = new Map();
  requests = new Set();
  current = null;
  lastArchived = null;
  at("app").hidden = true;
  at("app").classList.remove("talking");
  at("conversation").hidden = true;
  at("welcome").hidden = false;
  at("login").hidden = false;
  at("log").replaceChildren();
  loginFailed("");
  at("login-error").hidden = true;
  document.title = "Starling";
}

function onState({ target, detail }) {
  if (target !== connection) return;
  const { state, reason, retryIn } = detail;
  const inside = !at("app").hidden;
  if (!inside && (state === "failed" || state === "waiting")) {
    connection = null;
    target.disconnect();
    loginFailed(reason ?? "The server cannot be reached.");
    return;
  }
  const words = {
    connecting: "Connecting…",
    online: "Online",
    waiting: `Connection lost, next try in ${Math.ceil((retryIn ?? 0) / 1000)} s`,
    failed: reason ?? "Disconnected",
    closed: "Signed out",
  };
  at("status").textContent = words[state];
  at("status").dataset.state = state;
  at("send").disabled = state !== "online";
  if (state !== "online") {
    for (const person of contacts.values()) person.resources.clear();
    if (inside) paintContacts();
  }
}

async function onOnline({ target }) {
  if (target !== connection) return;
  caughtUp = false;
  at("password").value = "";
  at("login").hidden = true;
  at("app").hidden = false;
  at("me").textContent = connection.account;
  paintAvatar(at("me-avatar"), connection.account, localpart(connection.account));
  try {
    const roster = await connection.request("get", element(NS.roster, "query"));
    for (const person of contacts.values()) person.inRoster = false;
    applyRoster(child(roster, NS.roster, "query"));
    await connection.request("set", element(NS.carbons, "enable")).catch(() => {}); // a server without carbons is still a server
    connection.send(element(NS.client, "presence"));
    await catchUp();
  } catch (error) {
    at("status").textContent = error.message;
  }
  if (target !== connection) return;
  caughtUp = true;
  paintContacts();
  if (current) open(current);
}

// --- Roster and presence (RFC 6121 §2, §3) ---

function applyRoster(query) {
  for (const item of query?.children ?? []) {
    const jid = bare(item.getAttribute("jid"));
    if (!jid) continue;
    const person = contact(jid);
    const removed = item.getAttribute("subscription") === "remove";
    person.inRoster = !removed;
    person.name = removed ? "" : (item.getAttribute("name") ?? "");
    person.subscription = removed ? "none" : (item.getAttribute("subscription") ?? "none");
    person.asked = item.getAttribute("ask") === "subscribe";
    if (["from", "both"].includes(person.subscription)) requests.delete(jid);
  }
}

function onPresence({ target, detail: presence }) {
  if (target !== connection) return;
  const from = presence.getAttribute("from") ?? "";
  const jid = bare(from);
  const type = presence.getAttribute("type");
  if (!jid || jid === connection.account) return;
  if (type === "subscribe") {
    const known = contacts.get(jid);
    const weAskedFirst = known?.inRoster && (known.asked || known.subscription === "to");
    if (weAskedFirst) sendPresence(jid, "subscribed");
    else requests.add(jid);
  } else if (type === "unavailable") {
    contacts.get(jid)?.resources.delete(from);
  } else if (!type && contacts.has(jid)) {
    const show = child(presence, NS.client, "show")?.textContent ?? "";
    const shown = { away: "away", xa: "away", dnd: "busy" }[show] ?? "available";
    contacts.get(jid).resources.set(from, shown);
  }
  paintContacts();
}

function sendPresence(to, type) {
  connection.send(element(NS.client, "presence", { to, type }));
}

async function addContact(event) {
  event.preventDefault();
  const jid = at("add-jid").value.trim().toLowerCase();
  const refuse = (words) => {
    at("add-error").textContent = words;
    at("add-error").hidden = false;
  };
  at("add-error").hidden = true;
  if (!/^[^@/\s]+@[^@/\s]+$/.test(jid)) return refuse("An address looks like bob@localhost.");
  if (jid === connection.account) return refuse("That is your own address.");
  try {
    await befriend(jid);
    at("add-jid").value = "";
    open(contact(jid));
  } catch (error) {
    refuse(error.message);
  }
}

async function befriend(jid) {
  if (!contacts.get(jid)?.inRoster) {
    await connection.request("set", element(NS.roster, "query", {}, element(NS.roster, "item", { jid })));
  }
  if (!["to", "both"].includes(contacts.get(jid)?.subscription)) sendPresence(jid, "subscribe");
}

async function answerRequest(jid, accepted) {
  requests.delete(jid);
  try {
    sendPresence(jid, accepted ? "subscribed" : "unsubscribed");
    if (accepted) await befriend(jid);
  } catch (error) {
    requests.add(jid);
    at("status").textContent = error.message;
  }
  paintContacts();
}

// --- Messages ---

function onMessage({ target, detail: outer }) {
  if (target !== connection || child(outer, NS.mam, "result")) return;
  let message = outer;
  let sentAt = null;
  const copy = child(outer, NS.carbons, "received") ?? child(outer, NS.carbons, "sent");
  if (copy) {
    // A carbon from anybody but our own account is a forgery (XEP-0280 §11).
    const inner = connection.isOurs(outer) ? unwrap(copy) : null;
    if (!inner) return;
    ({ message, sentAt } = inner);
  }
  if (message.getAttribute("type") === "error") return noteFailure(message);
  const said = read(message, connection.account, sentAt);
  if (!said) return;
  const strangers = [...contacts.values()].filter((person) => !person.inRoster).length;
  if (!contacts.has(said.peer) && strangers >= MOST_STRANGERS) return;
  const person = contact(said.peer);
  if (caughtUp && said.entry.archiveId) lastArchived = said.entry.archiveId;
  if (!append(person, said.entry)) return;
  const seen = person === current && !document.hidden;
  if (!said.entry.mine && !seen) person.unread += 1;
  paintContacts();
  if (person === current) paintLog(true);
}

function noteFailure(message) {
  const person = contacts.get(bare(message.getAttribute("from")));
  const sent = person?.messages.find((entry) => entry.mine && entry.id === message.getAttribute("id"));
  if (!sent) return;
  sent.failed = "Not delivered";
  if (person === current) paintLog(false);
}

function sendMessage(event) {
  event?.preventDefault();
  const text = at("text").value.trim();
  if (!text || !current || !connection?.online) return;
  const id = connection.freshId();
  const attributes = { to: current.jid, type: "chat", id };
  try {
    connection.send(element(NS.client, "message", attributes, element(NS.client, "body", {}, text)));
  } catch {
    return; // the words stay in the box
  }
  append(current, { id, archiveId: null, mine: true, text, time: new Date(), failed: null });
  at("text").value = "";
  paintContacts();
  paintLog(true);
}

// --- The archive ---

/** After signing in: the latest page, for previews. After a lost connection: all that was said meanwhile. */
async function catchUp() {
  if (!lastArchived) {
    const page = await connection.history({ before: "", max: PAGE }).catch(() => null);
    lastArchived = page?.last ?? null;
    for (const { message, sentAt, archiveId } of page?.messages ?? []) {
      const said = read(message, connection.account, sentAt, archiveId);
      if (said) contact(said.peer).preview = said.entry;
    }
    return;
  }
  for (let pages = 0; pages < MOST_CATCH_UP_PAGES; pages += 1) {
    const page = await connection.history({ after: lastArchived, max: 100 }).catch((error) => error);
    if (page.condition === "item-not-found") return startOver();
    if (page instanceof Error) return;
    for (const { message, sentAt, archiveId } of page.messages) {
      const said = read(message, connection.account, sentAt, archiveId);
      if (!said) continue;
      const person = contact(said.peer);
      if (append(person, said.entry) && !said.entry.mine && person !== current) person.unread += 1;
    }
    lastArchived = page.last ?? lastArchived;
    if (page.complete || !page.last) return;
  }
}

/** The last thing we saw has left the archive: nothing tells what lies between, so it is read anew. */
function startOver() {
  lastArchived = null;
  for (const person of contacts.values()) Object.assign(person, { messages: [], loaded: false, complete: false, first: null });
}

async function loadPage(person) {
  if (person.loading || person.complete || !connection?.online) return;
  person.loading = true;
  at("older").disabled = true;
  const asked = connection;
  try {
    const page = await asked.history({ withJid: person.jid, before: person.first ?? "", max: PAGE });
    if (asked !== connection) return;
    const entries = page.messages.map((item) => read(item.message, asked.account, item.sentAt, item.archiveId)?.entry).filter(Boolean);
    const later = person.messages.filter((old) => !entries.some((entry) => isSame(entry, old)));
    person.messages = [...entries, ...later];
    person.preview = person.messages.at(-1) ?? person.preview;
    person.first = page.first ?? person.first;
    person.complete = page.complete || !page.first;
    person.loaded = true;
  } catch (error) {
    person.complete = error.condition !== undefined; // the server said no: do not offer it again
  } finally {
    person.loading = false;
    at("older").disabled = false;
  }
}

async function loadOlder() {
  const person = current;
  const scroll = at("scroll");
  const fromEnd = scroll.scrollHeight - scroll.scrollTop;
  await loadPage(person);
  if (person !== current) return;
  paintLog(false);
  scroll.scrollTop = scroll.scrollHeight - fromEnd; // what was being read stays where it was
}

// --- Painting ---

async function open(person) {
  if (current && current !== person) current.draft = at("text").value;
  if (current !== person) at("text").value = person.draft;
  current = person;
  person.unread = 0;
  at("app").classList.add("talking");
  at("welcome").hidden = true;
  at("conversation").hidden = false;
  paintContacts();
  paintLog(true);
  at("text").focus();
  if (person.loaded) return;
  await loadPage(person);
  if (person !== current) return;
  paintContacts();
  paintLog(true);
}

function paintContacts() {
  const sorted = [...contacts.values()]
    .filter((person) => person.inRoster || person.preview || person.messages.length > 0 || person === current)
    .sort((one, other) => (other.preview?.time ?? 0) - (one.preview?.time ?? 0) || one.title.localeCompare(other.title));
  const focused = document.activeElement?.dataset?.jid;
  at("contacts").replaceChildren(...sorted.map(contactRow));
  if (focused) [...at("contacts").querySelectorAll("button")].find((button) => button.dataset.jid === focused)?.focus();
  at("no-contacts").hidden = sorted.length > 0;
  at("request-list").replaceChildren(...[...requests].map(requestRow));
  at("requests").hidden = requests.size === 0;
  const unread = sorted.reduce((sum, person) => sum + person.unread, 0);
  document.title = unread > 0 ? `(${unread}) Starling` : "Starling";
  if (!current) return;
  at("peer").textContent = current.title;
  at("peer").title = current.jid;
  at("peer-presence").textContent = current.note;
  paintAvatar(at("peer-avatar"), current.jid, current.title);
}

function contactRow(person) {
  const button = make("button", "contact");
  button.type = "button";
  button.dataset.jid = person.jid;
  button.setAttribute("aria-current", String(person === current));
  const avatar = make("span");
  paintAvatar(avatar, person.jid, person.title);
  avatar.setAttribute("aria-hidden", "true");
  const dot = make("span", "dot");
  dot.dataset.show = person.show;
  avatar.append(dot);
  const lines = make("span", "lines");
  const said = person.preview ? `${person.preview.mine ? "You: " : ""}${person.preview.text.slice(0, 200)}` : person.note;
  lines.append(make("span", "name", person.title), make("span", "unseen", ` (${person.note}) `), make("span", "preview", said));
  button.append(avatar, lines);
  if (person.unread > 0) {
    const badge = make("span", "unread", String(person.unread));
    badge.setAttribute("aria-label", `${person.unread} unread`);
    button.append(badge);
  }
  button.addEventListener("click", () => open(person));
  const row = make("li");
  row.append(button);
  return row;
}

function requestRow(jid) {
  const row = make("li", "request");
  const accept = make("button", "primary", "Accept");
  const decline = make("button", "quiet", "Decline");
  for (const [button, accepted] of [[accept, true], [decline, false]]) {
    button.type = "button";
    button.setAttribute("aria-label", `${button.textContent} ${jid}`);
    button.addEventListener("click", () => answerRequest(jid, accepted));
  }
  row.append(make("span", "name", jid), accept, decline);
  return row;
}

function paintLog(toEnd) {
  const scroll = at("scroll");
  const items = [];
  let day = "";
  let mine = null;
  for (const entry of current.messages) {
    const date = entry.time.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" });
    if (date !== day) {
      items.push(make("li", "day", date));
      mine = null;
    }
    items.push(bubble(entry, mine !== null && mine !== entry.mine));
    day = date;
    mine = entry.mine;
  }
  at("log").replaceChildren(...items);
  at("older").hidden = !current.loaded || current.complete;
  if (toEnd) scroll.scrollTop = scroll.scrollHeight;
}

function bubble(entry, turn) {
  const item = make("li", `bubble${entry.mine ? " mine" : ""}${turn ? " turn" : ""}`);
  const text = make("p", "", entry.text);
  text.dir = "auto";
  const time = make("time", "", entry.time.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = entry.time.toISOString();
  item.append(make("span", "unseen", entry.mine ? "You:" : `${current.title}:`), text, time);
  if (entry.failed) item.append(make("span", "failed", entry.failed));
  return item;
}

at("login-form").addEventListener("submit", signIn);
at("add-form").addEventListener("submit", addContact);
at("composer").addEventListener("submit", sendMessage);
at("older").addEventListener("click", loadOlder);
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) sendMessage(event);
});
at("logout").addEventListener("click", () => {
  const leaving = connection;
  showLogin();
  leaving?.disconnect();
});
at("back").addEventListener("click", () => {
  const jid = current?.jid;
  if (current) current.draft = at("text").value;
  current = null;
  at("text").value = "";
  at("app").classList.remove("talking");
  at("conversation").hidden = true;
  at("welcome").hidden = false;
  paintContacts();
  [...at("contacts").querySelectorAll("button")].find((button) => button.dataset.jid === jid)?.focus();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && current) {
    current.unread = 0;
    paintContacts();
  }
});
prefill();
