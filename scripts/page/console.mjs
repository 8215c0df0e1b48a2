// The console of a server under load: its figures beside /metrics, its buttons, its manners.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Client } from "./client.mjs";

// The page's own arithmetic; by its text, as Node 18 takes a file of that name for CommonJS.
const figures = readFileSync(new URL("../../crates/admin/assets/figures.js", import.meta.url), "utf8");
const { perSecond, quantile, rate } = await import(`data:text/javascript,${encodeURIComponent(figures)}`);
const { chromium } = createRequire(`${process.env.NODE_MODULES}/`)("playwright-core");
const [base, metricsUrl, socketUrl, alicePassword, picture] = process.argv.slice(2);
const { ADMIN: admin, READ: readOnly } = process.env;

let [passed, failed] = [0, 0];
const complaints = [];
const elsewhere = [];

async function step(name, body) {
  try {
    await body();
    passed += 1;
    console.log(`ok console: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok console: ${name}: ${error.message.split("\n").slice(0, 3).join(" | ")}`);
  }
}

function check(truth, words) {
  if (!truth) throw new Error(words);
}

async function until(what, holds) {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 100))) {
    if (await holds()) return;
  }
  throw new Error(`${what}: not within 20 s`);
}

/** Sums of /metrics by name, and those of one label. */
async function metrics() {
  const text = await (await fetch(metricsUrl)).text();
  const lines = text.split("\n").filter((line) => line && !line.startsWith("#"));
  return (name, label = "") => lines
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => line.includes(label))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

const FIGURES = [
  ["connections", (of) => of("xmpp_cm_connections")],
  ["bound", (of) => of("xmpp_cm_streams", 'state="bound"')],
  ["sessions-attached", (of) => of("xmpp_sessions", 'state="attached"')],
  ["sessions-waiting", (of) => of("xmpp_sessions", 'state="waiting"')],
  ["unacknowledged", (of) => of("xmpp_sm_unacked")],
  ["memory-bytes", (of) => of("process_resident_memory_bytes")],
  ["stanzas-received", (of) => of("xmpp_stanza_received_total")],
  ["stanzas-sent", (of) => of("xmpp_stanza_sent_total")],
  ["messages", (of) => of("xmpp_message_outcome_total") - of("xmpp_message_outcome_total", 'outcome="refused"')],
  ["messages-refused", (of) => of("xmpp_message_outcome_total", 'outcome="refused"')],
  ["logins", (of) => of("xmpp_auth_attempts_total", 'result="success"')],
  ["logins-failed", (of) => of("xmpp_auth_attempts_total") - of("xmpp_auth_attempts_total", 'result="success"')],
  ["clients-refused", (of) => of("xmpp_cm_rejects_total")],
  ["acknowledge-count", (of) => of("xmpp_ack_latency_seconds_count")],
  ["deliver-count", (of) => of("xmpp_message_delivery_duration_seconds_count")],
];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

async function tab(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (line) => {
    if (line.type() === "error" && !/status of (400|401|403|404|409)/.test(line.text())) complaints.push(line.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(base) && !request.url().startsWith("data:")) elsewhere.push(request.url());
  });
  await page.goto(`${base}/`);
  return page;
}

async function enter(page, token) {
  await page.fill("#token", token);
  await page.click("#enter button");
}

const shown = (page, figure) => page.locator(`[data-figure="${figure}"]`).first().getAttribute("data-value").then(Number);
const row = (page, table, text) => page.locator(`#${table} tr`, { hasText: text });

/** The smallest contrast of what is written on the page (WCAG 2.2 §1.4.3). */
const contrast = (page) => page.evaluate(() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map((part) => part / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if (!/, 0\)$|transparent/.test(color)) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const written = [...document.querySelectorAll("h1, h1 span, h2, p, dt, dd, th, td, td span, caption, label, button:enabled")].filter((one) => one.checkVisibility() && one.textContent.trim());
  const ratios = written.map((one) => {
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), one.tagName + " " + one.textContent.slice(0, 20)];
  });
  return ratios.sort((x, y) => x[0] - y[0])[0];
});

await step("rates and quantiles are worked out as they should be", async () => {
  const answer = (at, messages, counts) => ({
    at, messages, latency: { count: counts.at(-1), buckets: [0.001, 0.01, 0.1].map((bound, n) => ({ "up-to-seconds": bound, count: counts[n] })) },
  });
  const [before, now] = [answer(0, 10, [1, 1, 1, 1]), answer(2000, 30, [51, 91, 100, 101])];
  check(rate(before, now, "messages") === 10, "rate");
  check(rate(now, answer(4000, 0, [0, 0, 0, 0]), "messages") === null, "a new start has no rate");
  const half = quantile(before.latency, now.latency, 0.5);
  check(Math.abs(half - 0.001) < 1e-9, `half is ${half}`);
  check(quantile(before.latency, now.latency, 0.99) === 0.1, "99 of 100");
  check(quantile(before.latency, now.latency, 1) === Infinity, "above the last bound");
  check(quantile(now.latency, now.latency, 0.5) === null, "nothing came");
  check(perSecond(null) === "–" && perSecond(1.25) === "1.3", "words");
});

// Alice writes to herself; her resource is what a hostile client would choose.
const resource = "&lt;img src=x onerror=document.title=1&gt;";
const alice = new Client(socketUrl);
check(await alice.enter("alice", alicePassword, resource), "alice signs in");
const load = setInterval(() => alice.isOpen && alice.send(`<message xmlns='jabber:client' to='alice@localhost' type='chat'><body>tick</body></message>`), 50);
const first = await alice.next(/^<message/);
const messageId = /stanza-id[^>]* id='([^']+)'/.exec(first)?.[1] ?? /id='([0-9a-f]{32})'/.exec(first)?.[1];

const page = await tab();

await step("a wrong token is refused with words, and nothing is shown", async () => {
  await enter(page, "starling_wrong");
  await page.locator("#complaint", { hasText: "does not know this token" }).waitFor();
  check(!(await page.isVisible("#console")), "the console is shown");
});

await step("a token lets in, and is kept nowhere but in memory", async () => {
  await enter(page, admin);
  await page.locator("#live", { hasText: "Live" }).waitFor();
  check((await page.inputValue("#token")) === "" && !page.url().includes("starling_"), "the page kept it in sight");
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, document.body.innerHTML]));
  check(!kept.includes(admin), "the browser kept it");
});

await step("each figure under load is one that /metrics had", async () => {
  let wrong = [];
  await until("every figure is between two readings of /metrics", async () => {
    const before = await metrics();
    const drawn = await page.evaluate(() => performance.now());
    await page.waitForFunction((from) => performance.now() > from + 2500, drawn); // it has asked again
    const values = await Promise.all(FIGURES.map(([figure]) => shown(page, figure)));
    const after = await metrics();
    const read = FIGURES.map(([figure, of], at) => [figure, of(before), values[at], of(after)]);
    wrong = read.filter(([, one, value, other]) => !(Math.min(one, other) <= value && value <= Math.max(one, other)));
    return wrong.length === 0;
  }).catch((error) => check(false, `${error.message}: ${wrong.join(" | ")}`));
});

await step("rates and latency are live", async () => {
  for (const figure of ["stanzas-received-rate", "stanzas-sent-rate", "messages-rate", "acknowledge-p50", "acknowledge-p99"]) {
    await until(`${figure} is above zero`, async () => (await shown(page, figure)) > 0);
  }
});

await step("the rate is that of /metrics", async () => {
  const read = async () => [performance.now(), (await metrics())("xmpp_stanza_received_total")];
  const [[from, before], rates] = [await read(), []];
  for (let n = 0; n < 3; n += 1) {
    await page.waitForTimeout(2000);
    rates.push(await shown(page, "stanzas-received-rate"));
  }
  const [to, after] = await read();
  const [true_, mean] = [((after - before) * 1000) / (to - from), rates.reduce((a, b) => a + b) / 3];
  check(mean > true_ / 2 && mean < true_ * 2, `${mean} a second is shown, ${true_} it is`);
});

await step("nodes are shown", async () => {
  await row(page, "nodes", "serving").first().waitFor();
});

await step("names that clients choose are text", async () => {
  await page.fill("#session-jid", "alice@localhost");
  await page.click("#find-sessions button");
  await row(page, "sessions", "alice@localhost/<img src=x").first().waitFor();
  check((await page.locator("#console img").count()) === 0 && (await page.title()) === "Starling console", "markup became elements");
});

await step("a message is found by its id", async () => {
  await page.fill("#message-jid", "alice@localhost");
  await page.fill("#message-id", messageId);
  await page.click("#find-message button");
  await page.locator("#message dd", { hasText: "stored" }).waitFor();
});

await step("pictures are taken", async () => {
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: picture });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: picture.replace(/\.png$/, "-dark.png") });
  await page.emulateMedia({ colorScheme: "light" });
});

await step("an account is made, gets a password, and is removed", async () => {
  await page.fill("#new-jid", "dora@localhost");
  await page.fill("#new-password", "new-secret-1");
  await page.press("#new-password", "Enter");
  await row(page, "users", "dora@localhost").waitFor();
  check(await new Client(socketUrl).enter("dora", "new-secret-1", "x"), "the password does not hold");
  await page.click("#users button[aria-label='Set password: dora@localhost']");
  await page.fill("#ask-password", "new-secret-2");
  await page.click("#ask-yes");
  await until("the new password holds", () => new Client(socketUrl).enter("dora", "new-secret-2", "y"));
  await page.click("#users button[aria-label='Remove: dora@localhost']");
  await page.click("#ask button[value=no]");
  check((await row(page, "users", "dora@localhost").count()) === 1, "Cancel removed it");
  await page.click("#users button[aria-label='Remove: dora@localhost']");
  await page.click("#ask-yes");
  await row(page, "users", "dora@localhost").waitFor({ state: "detached" });
});

await step("what the server refuses is said", async () => {
  await page.fill("#new-jid", "nobody@elsewhere.example");
  await page.fill("#new-password", "x");
  await page.press("#new-password", "Enter");
  await page.locator("#complaint", { hasText: "not served here" }).waitFor();
  await page.click("#drain-start");
  await page.click("#ask-yes");
  await page.locator("#complaint", { hasText: "have nowhere to go" }).waitFor();
});

await step("a session is ended", async () => {
  clearInterval(load);
  await page.click("#find-sessions button");
  await row(page, "sessions", "alice@localhost/<img").locator("button").click();
  await page.click("#ask-yes");
  await until("alice is gone", async () => !alice.isOpen);
  await page.locator("#sessions td", { hasText: "No sessions" }).waitFor();
});

await step("who may only look is told so", async () => {
  const other = await tab({ colorScheme: "dark", viewport: { width: 420, height: 800 } });
  await enter(other, readOnly);
  await other.locator("#live", { hasText: "Live" }).waitFor();
  await other.fill("#new-jid", "eve@localhost");
  await other.fill("#new-password", "x");
  await other.press("#new-password", "Enter");
  await other.locator("#complaint", { hasText: "may not do that" }).waitFor();
  const [ratio, where] = await contrast(other);
  check(ratio >= 4.5, `contrast in the dark is ${ratio} at ${where}`);
  const wide = await other.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  check(wide <= 0, `the page is ${wide} px too wide for a telephone`);
  await other.context().close();
});

await step("it is readable, and every control has a name", async () => {
  const [ratio, where] = await contrast(page);
  check(ratio >= 4.5, `contrast is ${ratio} at ${where}`);
  const nameless = await page.evaluate(() => [
    ...[...document.querySelectorAll("input")].filter((input) => input.labels.length === 0),
    ...[...document.querySelectorAll("button")].filter((button) => !(button.textContent + (button.ariaLabel ?? "")).trim() && button.id !== "ask-yes"),
    ...[...document.querySelectorAll("table")].filter((table) => !table.caption?.textContent),
    ...[...document.querySelectorAll("th")].filter((head) => !head.scope),
    ...[...document.querySelectorAll("section")].filter((section) => !section.ariaLabelledByElements?.length),
  ].map((one) => one.outerHTML.slice(0, 60)));
  check(nameless.length === 0, nameless.join(" "));
});

await step("the keyboard alone does", async () => {
  const other = await tab();
  await other.keyboard.press("Tab");
  check((await other.evaluate(() => document.activeElement.className)) === "skip", "the first stop is the skip link");
  await other.focus("#token");
  await other.keyboard.type(admin);
  await other.keyboard.press("Enter");
  await other.locator("#live", { hasText: "Live" }).waitFor();
  check((await other.evaluate(() => document.activeElement.id)) === "main", "the content is not where reading goes on");
  await other.focus("#drain-start");
  await other.keyboard.press("Enter");
  await other.locator("#ask[open]").waitFor();
  await other.keyboard.press("Escape");
  await other.locator("#ask[open]").waitFor({ state: "detached" });
  check((await other.evaluate(() => document.activeElement.id)) === "drain-start", "Escape does not lead back");
  await other.context().close();
});

await step("a reload forgets the token", async () => {
  await page.reload();
  check((await page.isVisible("#enter")) && !(await page.isVisible("#console")), "it is still there");
});

await step("the browser had nothing to complain about, and asked nobody else", async () => {
  check(complaints.length === 0, complaints.join("; "));
  check(elsewhere.length === 0, elsewhere.join(" "));
});

await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
