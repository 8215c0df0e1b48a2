// The console of a server under load: its figures beside /metrics, its buttons, its manners.
import { readFileSync } from "node:fs";
import { Client } from "./client.mjs";
import { FIGURES, askedAgain, check, compare, contrast, end, enter, metrics, picture, row, shown, step, tab, until } from "./kit.mjs";
import { watch } from "./watch.mjs";

// The page's own arithmetic; by its text, as Node 18 takes a file of that name for CommonJS.
const figures = readFileSync(new URL("../../crates/admin/assets/figures.js", import.meta.url), "utf8");
const { between, perSecond, quantile, rate, time } = await import(`data:text/javascript,${encodeURIComponent(figures)}`);
const [base, metricsUrl, socketUrl, alicePassword, path] = process.argv.slice(2);
const { ADMIN: admin, READ: readOnly } = process.env;

await step("rates and quantiles are worked out as they should be", async () => {
  // Two processes; the counts of the second are those of the first, and it began anew where its uptime is shorter.
  const one = (node, uptime, messages, counts) => [node, {
    node, messages, "uptime-seconds": uptime,
    latency: { count: counts.at(-1), buckets: [0.001, 0.01, 0.1].map((bound, n) => ({ "up-to-seconds": bound, count: counts[n] })) },
  }];
  const answer = (at, messages, counts, uptime = 5) => ({ at, nodes: new Map([one("a", 5, messages, counts), one("b", uptime, messages, counts)]) });
  const [before, now] = [answer(0, 10, [1, 1, 1, 1]), answer(2000, 30, [51, 91, 100, 101])];
  check(rate(before, now, "messages") === 20 && rate(before, now, "messages", "a") === 10, "rate");
  check(rate(now, answer(4000, 0, [0, 0, 0, 0], 1), "messages") === null, "a new start has no rate");
  check(rate(before, answer(2000, 30, [51, 91, 100, 101], 1), "messages") === 10, "that of the others goes on");
  check(rate(before, now, "messages", "c") === null, "nobody of that name");
  const came = between(before, now, "latency");
  check(came.count === 200 && between(before, now, "latency", "a").count === 100, "two processes are added up");
  const half = quantile(came, 0.5);
  check(Math.abs(half - 0.001) < 1e-9, `half is ${half}`);
  check(quantile(came, 0.99) === 0.1, "99 of 100");
  check(quantile(came, 1) === Infinity, "above the last bound");
  check(quantile(between(now, now, "latency"), 0.5) === null, "nothing came");
  check(perSecond(null) === "–" && perSecond(1.25) === "1.3", "words");
  check(time(0.0051) === "5.1 ms" && time(0.144) === "144 ms" && time(2.04) === "2.0 s" && time(31) === "31 s", "times");
});

// Alice writes to herself; her resource is what a hostile client would choose.
const resource = "&lt;img src=x onerror=document.title=1&gt;";
const alice = new Client(socketUrl);
check(await alice.enter("alice", alicePassword, resource), "alice signs in");
const load = setInterval(() => alice.isOpen && alice.send(`<message xmlns='jabber:client' to='alice@localhost' type='chat'><body>tick</body></message>`), 50);
const first = await alice.next(/^<message/);
const messageId = /stanza-id[^>]* id='([^']+)'/.exec(first)?.[1] ?? /id='([0-9a-f]{32})'/.exec(first)?.[1];

const page = await tab(base);

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
  const read = async () => {
    const of = await metrics(metricsUrl);
    return FIGURES.map(([, figure]) => figure(of));
  };
  await until("every figure is between two readings of /metrics", async () => {
    wrong = await compare(page, FIGURES.map(([figure]) => ({ figure })), read);
    return wrong.length === 0;
  }).catch((error) => check(false, `${error.message}: ${wrong.join(" | ")}`));
});

await step("each rate and latency under load is what two scrapes of /metrics make", async () => {
  // Somebody comes every second and goes again, and one does not know the password.
  let visitor = 0;
  const visits = setInterval(async () => {
    const one = new Client(socketUrl);
    visitor += 1;
    await one.enter("alice", visitor === 8 ? "wrong" : alicePassword, `visitor-${visitor}`).catch(() => false);
    one.close();
  }, 1000);
  const watched = watch(page, async () => new Map([["", await metrics(metricsUrl)]]));
  try {
    await watched.holds([""]);
  } finally {
    clearInterval(visits);
    await watched.end();
  }
  for (const figure of ["stanzas-received-rate", "stanzas-sent-rate", "messages-rate", "acknowledge-p50", "acknowledge-p99", "acknowledge-recent"]) {
    check((await shown(page, figure)) > 0, `${figure} is not above zero`);
  }
});

await step("nodes are shown", async () => {
  await row(page, "nodes", "serving").first().waitFor();
  check((await page.textContent("#missing")) === "", "somebody does not answer");
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

await step("pictures are taken", () => picture(page, path));

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
  await page.click("#nodes button[aria-label^='Drain: ']");
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
  const other = await tab(base, { colorScheme: "dark", viewport: { width: 420, height: 800 } });
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
    ...[...document.querySelectorAll("input, select")].filter((input) => input.labels.length === 0),
    ...[...document.querySelectorAll("button")].filter((button) => !(button.textContent + (button.ariaLabel ?? "")).trim() && button.id !== "ask-yes"),
    ...[...document.querySelectorAll("table")].filter((table) => !table.caption?.textContent),
    ...[...document.querySelectorAll("th")].filter((head) => !head.scope),
    ...[...document.querySelectorAll("section")].filter((section) => !section.ariaLabelledByElements?.length),
  ].map((one) => one.outerHTML.slice(0, 60)));
  check(nameless.length === 0, nameless.join(" "));
});

await step("the keyboard alone does", async () => {
  const other = await tab(base);
  await other.keyboard.press("Tab");
  check((await other.evaluate(() => document.activeElement.className)) === "skip", "the first stop is the skip link");
  await other.focus("#token");
  await other.keyboard.type(admin);
  await other.keyboard.press("Enter");
  await other.locator("#live", { hasText: "Live" }).waitFor();
  check((await other.evaluate(() => document.activeElement.id)) === "main", "the content is not where reading goes on");
  await other.focus("#nodes button[aria-label^='Drain: ']");
  await other.keyboard.press("Enter");
  await other.locator("#ask[open]").waitFor();
  await other.keyboard.press("Escape");
  await other.locator("#ask[open]").waitFor({ state: "detached" });
  const isBack = () => document.activeElement.ariaLabel?.startsWith("Drain: ");
  check(await other.evaluate(isBack), "Escape does not lead back");
  await askedAgain(other);
  check(await other.evaluate(isBack), "the next answer of the server takes the focus away");
  await other.context().close();
});

await step("a reload forgets the token", async () => {
  await page.reload();
  check((await page.isVisible("#enter")) && !(await page.isVisible("#console")), "it is still there");
});

await end();
