// The console: asks the REST interface of the server that served it, with a token that is kept in this variable and nowhere else.
import { between, bytes, perSecond, quantile, rate, time } from "./figures.js";

const EVERY = 2000;
const KEPT = 31; // answers: a minute
const PAGE = 50;
const RATES = [
  ["stanzas-received", "Stanzas from clients"], ["stanzas-sent", "Stanzas to clients"], ["messages", "Messages taken"],
  ["messages-refused", "Messages refused"], ["logins", "Logins"], ["logins-failed", "Failed logins"], ["clients-refused", "Clients turned away"],
];
const OF_ALL = ["sessions-attached", "sessions-waiting"]; // each session router counts those of the whole cluster
const LATENCIES = [["acknowledge", "durable, and acknowledged"], ["deliver", "at the receiver's node"]];

const $ = (id) => document.getElementById(id);
let token = null;
let answers = [];
let timer = null;
let lastUser = null;
const nodeRows = new Map(); // by name; each stays where it is, and so does the focus

/** Every answer of the server is text to this page: nothing of it is read as markup. */
function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

async function ask(method, path, body) {
  const headers = { authorization: `Bearer ${token}` };
  if (body) headers["content-type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store", credentials: "omit" });
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  const known = { 401: "The server does not know this token.", 403: "This token may not do that.", 429: "Too many wrong tokens at once: try again." };
  throw new Refused(answer.status, known[answer.status] ?? content.error ?? `HTTP ${answer.status}`);
}

const query = (fields) => new URLSearchParams(Object.entries(fields).filter(([, value]) => value)).toString();
const complain = (words) => ($("complaint").textContent = words);
const scope = () => $("scope").value;
/** Only what changes is read aloud. */
const say = (box, words) => box.textContent === words || (box.textContent = words);

/** What a button or a form does; what the server says against it is shown. */
async function attempt(action) {
  complain("");
  try {
    return await action();
  } catch (error) {
    if (error.status === 401) leave();
    complain(error instanceof Refused ? error.message : `The server does not answer (${error.message}).`);
    return undefined;
  }
}

function fill(body, rows, empty) {
  const made = rows.map((cells) => {
    const row = document.createElement("tr");
    cells.forEach((cell, at) => {
      const box = cell instanceof Node ? element("td") : element(at === 0 ? "th" : "td", cell, at === 0 ? { scope: "row" } : {});
      if (cell instanceof Node) box.append(cell);
      row.append(box);
    });
    return row;
  });
  if (made.length === 0 && empty) {
    const row = document.createElement("tr");
    row.append(element("td", empty, { colspan: "9" }));
    made.push(row);
  }
  body.replaceChildren(...made);
}

/** The course of a rate: what it says stands beside it as a number. */
function course(figure) {
  const values = answers.slice(1).map((now, at) => rate(answers[at], now, figure, scope()) ?? 0);
  const most = Math.max(...values, 1);
  const points = values.map((value, at) => `${(at * 100) / (KEPT - 2)},${(23 - (value * 22) / most).toFixed(1)}`).join(" ");
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", "0 0 100 24");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  for (const [key, value] of Object.entries({ points, fill: "none", stroke: "currentColor", "stroke-width": "1.5", "vector-effect": "non-scaling-stroke" })) line.setAttribute(key, value);
  picture.append(line);
  return picture;
}

const instant = (text) => text.slice(0, 19).replace("T", " ");
const number = (value) => value?.toLocaleString("en") ?? "–";
const marked = (text, key, value) => element("span", text, { "data-figure": key, "data-value": value ?? "" });

function showCounts() {
  const now = answers.at(-1);
  const before = answers.at(-2) ?? now;
  const earlier = answers.at(-6) ?? answers[0];
  const counts = scope() ? now.nodes.get(scope()) : now.total; // none of a process that does not answer
  $("figures").dataset.at = now.at;
  for (const box of document.querySelectorAll("#figures [data-figure]")) {
    const { figure } = box.dataset;
    const value = (OF_ALL.includes(figure) ? now.total : counts)?.[figure];
    box.dataset.value = value ?? "";
    box.textContent = (figure === "memory-bytes" ? bytes : number)(value);
  }
  fill($("rates"), RATES.map(([figure, words]) => {
    const speed = rate(before, now, figure, scope());
    return [words, marked(perSecond(speed), `${figure}-rate`, speed), marked(number(counts?.[figure]), figure, counts?.[figure]), course(figure)];
  }));
  fill($("latencies"), LATENCIES.map(([figure, words]) => {
    const came = between(earlier, now, figure, scope());
    const [half, most] = [0.5, 0.99].map((share) => quantile(came, share));
    return [words, marked(time(half), `${figure}-p50`, half), marked(time(most), `${figure}-p99`, most), marked(number(came.count), `${figure}-recent`, came.count),
      marked(number(counts?.[figure].count), `${figure}-count`, counts?.[figure].count)];
  }));
}

/** One that is chosen stays chosen while it is away. */
function showScopes(names, chosen = scope()) {
  const there = [...$("scope").options].map((option) => option.value).slice(1);
  const wanted = [...new Set([...names, ...(chosen ? [chosen] : [])])].sort();
  if (there.join("\n") === wanted.join("\n")) return;
  $("scope").replaceChildren(element("option", "all processes", { value: "" }), ...wanted.map((name) => element("option", name, { value: name })));
  $("scope").value = chosen;
}

function nodeRow(name) {
  const row = element("tr", null, { "data-node": name });
  const cells = Array.from({ length: 11 }, (_, at) => (at === 0 ? element("th", name, { scope: "row" }) : element("td")));
  const actions = element("td");
  const drain = (method, path, body) => ask(method, path, body).then(look);
  const asks = (words, question, now) => button(words, name, async () => {
    if (await decide(question, words)) await drain("POST", "/v1/drain", { node: name, now });
  });
  const buttons = [
    asks("Drain", `Drain ${name}? What it holds goes to others.`, false),
    asks("Drain at once", `Drain ${name}, and send everything away at once?`, true),
    button("Call it off", name, () => drain("DELETE", `/v1/drain?${query({ node: name })}`)),
  ];
  const box = element("span", null, { class: "buttons" });
  box.append(...buttons);
  actions.append(box);
  row.append(...cells, actions);
  return { row, cells, buttons };
}

function showNodes(nodes, missing) {
  const [now, before, focused] = [answers.at(-1), answers.at(-2) ?? answers.at(-1), document.activeElement];
  for (const [name, { row }] of nodeRows) {
    if (nodes.some((node) => node.name === name)) continue;
    row.remove();
    nodeRows.delete(name);
  }
  nodes.forEach((node, at) => {
    if (!nodeRows.has(node.name)) nodeRows.set(node.name, nodeRow(node.name));
    const { row, cells, buttons } = nodeRows.get(node.name);
    if ($("nodes").children[at] !== row) $("nodes").insertBefore(row, $("nodes").children[at] ?? null);
    const counts = now.nodes.get(node.name);
    const speed = (figure) => rate(before, now, figure, node.name);
    const silence = counts ? "" : `, no answer (heard ${node["heard-seconds-ago"]} s ago)`;
    const shown = [
      node.roles, `${node.state}${silence}`, [number(counts?.connections), "connections", counts?.connections],
      [number(node.sessions), "sessions", node.sessions], [number(node.links), "links", node.links],
      [perSecond(speed("stanzas-received")), "stanzas-received-rate", speed("stanzas-received")],
      [perSecond(speed("messages")), "messages-rate", speed("messages")],
      [bytes(counts?.["memory-bytes"]), "memory-bytes", counts?.["memory-bytes"]], node.version, instant(node.since),
    ];
    shown.forEach((cell, n) => {
      const [text, figure, value] = [cell].flat();
      say(cells[n + 1], text);
      if (figure) Object.assign(cells[n + 1].dataset, { figure, value: value ?? "" });
    });
    cells[2].dataset.state = counts ? node.state : "silent";
    const may = [node.state === "serving", node.state !== "drained", node.state !== "serving"];
    buttons.forEach((one, n) => (one.disabled = !counts || !may[n]));
    // Who has pressed a button that is of no more use goes on beside it.
    if (buttons.includes(focused) && focused.disabled) buttons.find((one) => !one.disabled)?.focus();
  });
  const lacks = missing.map(({ node, why }) => `${node} (${why})`);
  say($("missing"), lacks.length ? `Not all is here: ${lacks.join(", ")}` : "");
}

/** Silent ones are in the list as such. */
function missed(nodes, ...lists) {
  const silent = nodes.filter((node) => node.state === "silent").map((node) => node.name);
  const known = new Map(lists.flat().map((one) => [one.node, one]));
  return [...known.values()].filter((one) => !silent.includes(one.node));
}

async function look() {
  try {
    const [counted, listed] = await Promise.all([ask("GET", "/v1/nodes/counts"), ask("GET", "/v1/nodes")]);
    if (token === null) return;
    const nodes = new Map(counted.nodes.map((one) => [one.node, one]));
    answers = [...answers, { at: performance.now(), nodes, total: counted.total }].slice(-KEPT);
    showScopes(listed.nodes.map((node) => node.name));
    showCounts();
    showNodes(listed.nodes, missed(listed.nodes, listed.missing, counted.missing));
    $("live").textContent = "Live";
  } catch (error) {
    if (error.status === 401) {
      leave();
      complain(error.message);
    }
    $("live").textContent = "No answer: what is shown is old";
  }
}

async function again() {
  if (token !== null && !document.hidden) await look();
  if (token !== null) timer = setTimeout(again, EVERY);
}

function leave() {
  clearTimeout(timer);
  [token, answers, lastUser] = [null, [], null];
  nodeRows.clear();
  showScopes([], "");
  for (const id of ["rates", "latencies", "nodes", "missing", "sessions", "users", "message"]) $(id).replaceChildren();
  $("console").hidden = $("leave").hidden = true;
  $("enter").hidden = false;
  $("node").textContent = $("live").textContent = "";
  $("token").focus();
}

function decide(title, yes, wantsPassword) {
  $("ask-title").textContent = title;
  $("ask-yes").textContent = yes;
  $("ask-password-part").hidden = !wantsPassword;
  $("ask-password").value = "";
  $("ask").returnValue = "no";
  $("ask").showModal();
  return new Promise((resolve) => {
    $("ask").addEventListener("close", () => {
      const password = $("ask-password").value;
      $("ask-password").value = "";
      resolve($("ask").returnValue === "yes" ? { password } : null);
    }, { once: true });
  });
}

function button(words, of, action) {
  const made = element("button", words, { type: "button", "aria-label": `${words}: ${of}` });
  made.addEventListener("click", () => attempt(action));
  return made;
}

async function showSessions() {
  const asked = query({ jid: $("session-jid").value.trim(), node: $("session-node").value.trim(), limit: PAGE });
  const { sessions, more } = await ask("GET", `/v1/sessions?${asked}`);
  $("sessions-caption").textContent = more ? `The first ${sessions.length} sessions; name an account or a node to see others` : `${sessions.length === 1 ? "One session" : `${sessions.length} sessions`}, times in UTC`;
  fill($("sessions"), sessions.map((one) => [
    one.jid, one.node, one.attached ? "connected" : "waits to be resumed", one.priority ?? "–", number(one.unacknowledged), instant(one.since),
    button("Disconnect", one.jid, async () => {
      if (!(await decide(`End the session ${one.jid}?`, "Disconnect"))) return;
      await ask("DELETE", `/v1/sessions?${query({ jid: one.jid })}`);
      await showSessions();
    }),
  ]), "No sessions");
}

async function showUsers(after) {
  const { accounts, more } = await ask("GET", `/v1/users?${query({ after, limit: PAGE })}`);
  lastUser = accounts.at(-1) ?? null;
  $("users-next").disabled = !more;
  $("users-first").disabled = !after;
  fill($("users"), accounts.map((jid) => {
    const actions = element("span", null, { class: "buttons" });
    actions.append(
      button("Set password", jid, async () => {
        const given = await decide(`Set the password of ${jid}? Its sessions end.`, "Set", true);
        if (given) await ask("PUT", `/v1/users/${encodeURIComponent(jid)}/password`, { password: given.password });
      }),
      button("Remove", jid, async () => {
        if (!(await decide(`Erase ${jid} and everything it has?`, "Remove"))) return;
        await ask("DELETE", `/v1/users/${encodeURIComponent(jid)}`);
        await showUsers(after);
      }),
    );
    return [jid, actions];
  }), "No accounts");
}

async function showMessage() {
  $("message").replaceChildren();
  const [jid, id] = [$("message-jid").value.trim(), $("message-id").value.trim()];
  const found = await ask("GET", `/v1/users/${encodeURIComponent(jid)}/messages/${encodeURIComponent(id)}`);
  const holders = found["held-by"].map((one) => `${one.device} (${one.attached ? "connected to" : "left"} ${one.node})`);
  const trail = found.trail.map((step) => [step.at, step.what, step.device, `(${step.node})`].filter(Boolean).join(" "));
  const missing = found.missing.map((one) => `${one.node}: ${one.why}`);
  const rows = [["State", found.state], ["With", found.with], ["Direction", found.direction], ["Received", found.received], ["Kept in", found["kept-in"]],
    ["Held by", holders.join(", ") || "no session"], ["What was done", trail.join(", ") || "nothing that anybody remembers"],
    ["Did not answer", missing.join(", ")]];
  for (const [key, value] of rows.filter(([, value]) => value)) $("message").append(element("dt", key), element("dd", value));
}

function onSubmit(id, action) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(action);
  });
}

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  attempt(async () => {
    $("node").textContent = (await ask("GET", "/v1/counts")).node;
    $("enter").hidden = true;
    $("console").hidden = $("leave").hidden = false;
    $("main").focus();
    again();
    await Promise.all([showSessions(), showUsers()]);
  });
});
$("leave").addEventListener("click", leave);
onSubmit("find-sessions", showSessions);
onSubmit("find-message", showMessage);
onSubmit("add-user", async () => {
  const [jid, password] = [$("new-jid").value.trim(), $("new-password").value];
  $("new-password").value = "";
  await ask("POST", "/v1/users", { jid, password });
  $("new-jid").value = "";
  await showUsers();
});
$("users-first").addEventListener("click", () => attempt(() => showUsers()));
$("users-next").addEventListener("click", () => attempt(() => showUsers(lastUser)));
$("scope").addEventListener("change", () => answers.length && showCounts());
