// What the tests of the console share: steps, /metrics, and a browser that hears what it complains about and whom it asks.
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.NODE_MODULES}/`)("playwright-core");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

let [passed, failed] = [0, 0];
const complaints = [];
const elsewhere = [];

export async function step(name, body) {
  try {
    await body();
    passed += 1;
    console.log(`ok console: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok console: ${name}: ${error.message.split("\n").slice(0, 3).join(" | ")}`);
  }
}

export function check(truth, words) {
  if (!truth) throw new Error(words);
}

export async function until(what, holds) {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 100))) {
    if (await holds()) return;
  }
  throw new Error(`${what}: not within 20 s`);
}

/** Sums of /metrics by name, and those of these labels; `of.bounds` has those of a histogram. */
export async function metrics(url) {
  const text = await (await fetch(url)).text();
  const lines = text.split("\n").filter((line) => line && !line.startsWith("#"));
  const called = (name) => lines.filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  const of = (name, ...labels) => called(name)
    .filter((line) => labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  of.bounds = (name) => [...new Set(called(`${name}_bucket`).map((line) => /le="([\d.e-]+)"/.exec(line)?.[1]))].filter(Boolean).sort((one, other) => one - other);
  return of;
}

/** What the page shows, and what it is of one process's /metrics. */
export const FIGURES = [
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
  ["deliver-count", (of) => of("xmpp_message_delivery_duration_seconds_count", 'path="live"')],
];
export const RATES = ["stanzas-received", "stanzas-sent", "messages", "messages-refused", "logins", "logins-failed", "clients-refused"];
/** A latency of the page, and its histogram. Messages that waited for their receiver are in none. */
export const LATENCIES = [["acknowledge", "xmpp_ack_latency_seconds", ""], ["deliver", "xmpp_message_delivery_duration_seconds", 'path="live"']];

/** A tab of its own, with the console. */
export async function tab(base, options = {}) {
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

export async function enter(page, token) {
  await page.fill("#token", token);
  await page.click("#enter button");
}

/** The number behind what is written: of all that is chosen, or of one process in the table. */
export const shown = (page, figure, node) =>
  page.locator(`${node ? `[data-node="${node}"] ` : ""}[data-figure="${figure}"]`).first().getAttribute("data-value").then((value) => (value ? Number(value) : null));

export const row = (page, table, text) => page.locator(`#${table} tr`, { hasText: text });

/** Waits until the page has asked again, after `from` of its own clock. */
export async function askedAgain(page) {
  const drawn = await page.evaluate(() => performance.now());
  await page.waitForFunction((from) => performance.now() > from + 2500, drawn);
}

/** The first lines of the figures that were not between two readings of `read`, which gives one value for each of them. */
export async function compare(page, figures, read) {
  const before = await read();
  await askedAgain(page);
  const values = await Promise.all(figures.map(({ figure, node }) => shown(page, figure, node)));
  const after = await read();
  const lines = figures.map(({ figure, node }, at) => [node ?? "", figure, before[at], values[at], after[at]]);
  return lines.filter(([, , one, value, other]) => value === null || !(Math.min(one, other) <= value && value <= Math.max(one, other)));
}

/** In both ways that a system may want it, from the top. */
export async function picture(page, path, options = {}) {
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path, ...options });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: path.replace(/\.png$/, "-dark.png"), ...options });
  await page.emulateMedia({ colorScheme: "light" });
}

/** A part of the page: from the first of these elements to the end of the last. */
export async function part(page, first, last) {
  const margin = 16; // what is around a card
  await page.evaluate(() => scrollTo(0, 0));
  const [top, bottom] = await Promise.all([first, last].map((one) => page.locator(one).boundingBox()));
  const [x, y] = [Math.min(top.x, bottom.x) - margin, top.y - margin].map((value) => Math.max(value, 0));
  return { fullPage: true, clip: { x, y, width: Math.max(top.width, bottom.width) + 2 * margin, height: bottom.y + bottom.height + margin - y } };
}

/** The smallest contrast of what is written on the page (WCAG 2.2 §1.4.3). */
export const contrast = (page) => page.evaluate(() => {
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
  const written = [...document.querySelectorAll("h1, h1 span, h2, p, dt, dd, th, td, td span, caption, label, select, button:enabled")].filter((one) => one.checkVisibility() && one.textContent.trim());
  const ratios = written.map((one) => {
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), one.tagName + " " + one.textContent.slice(0, 20)];
  });
  return ratios.sort((x, y) => x[0] - y[0])[0];
});

/** Tells how it went, and ends. */
export async function end() {
  await step("the browser had nothing to complain about, and asked nobody else", async () => {
    check(complaints.length === 0, complaints.join("; "));
    check(elsewhere.length === 0, elsewhere.join(" "));
  });
  await browser.close();
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}
