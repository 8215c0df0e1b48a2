// The console of a cluster under load: what it shows of each process and of all beside their /metrics, and who does not answer.
import { Client } from "./client.mjs";
import { FIGURES, check, compare, end, enter, metrics, part, picture, row, shown, step, tab, until } from "./kit.mjs";
import { watch } from "./watch.mjs";

// NAME=METRICS,SOCKET,PID of two connection managers and a session router, which has no socket.
const [base, path, ...parts] = process.argv.slice(2);
const nodes = new Map(parts.map((part) => [part.split("=")[0], part.slice(part.indexOf("=") + 1).split(",")]));
const [one, other, router] = [...nodes.keys()];
const pid = (node) => Number(nodes.get(node)[2]);

const alice = new Client(nodes.get(one)[1]);
check(await alice.enter("alice", "secret", "desk"), "alice signs in");
const bob = new Client(nodes.get(other)[1]);
check(await bob.enter("bob", "secret", "desk"), "bob signs in");
const load = setInterval(() => alice.isOpen && alice.send("<message xmlns='jabber:client' to='bob@localhost' type='chat'><body>tick</body></message>"), 50);
const first = await bob.next(/^<message/);
const messageId = /stanza-id[^>]* id='([^']+)'/.exec(first)?.[1] ?? /id='([0-9a-f]{32})'/.exec(first)?.[1];

const read = async () => new Map(await Promise.all([...nodes].map(async ([node, [url]]) => [node, await metrics(url)])));
const OF_ALL = ["sessions-attached", "sessions-waiting"]; // the router counts those of both managers

/** These figures as the page has them, and as /metrics had them before and after. */
async function same(page, figures, of) {
  let wrong = [];
  await until("every figure is between two readings of /metrics", async () => {
    wrong = await compare(page, figures, async () => {
      const known = await read();
      return figures.map((figure) => of(figure, known));
    });
    return wrong.length === 0;
  }).catch((error) => check(false, `${error.message}: ${wrong.join(" | ")}`));
}

// What a row says of its process beside what the whole page says.
const OF_NODE = [["sessions", (of) => of("xmpp_cm_streams", 'state="bound"')], ["links", (of) => of("starling_links")]];
const value = (figure, of) => [...FIGURES, ...OF_NODE].find(([name]) => name === figure)[1](of);
const state = (page, node) => page.textContent(`[data-node="${node}"] [data-state]`);
const press = (page, words, node) => page.click(`#nodes button[aria-label='${words}: ${node}']`);

const page = await tab(base, { viewport: { width: 1400, height: 1240 } });
await enter(page, process.env.ADMIN);

await step("all processes of a cluster are shown", async () => {
  for (const node of nodes.keys()) await row(page, "nodes", node).locator("[data-state=serving]").waitFor();
  check((await page.locator("#nodes tr").count()) === nodes.size, "there are more");
  await until("nobody is missed", async () => (await page.textContent("#missing")) === "");
});

await step("each has the connections, sessions, links and memory of its /metrics", async () => {
  const figures = [...nodes.keys()].flatMap((node) => ["connections", "sessions", "links", "memory-bytes"].map((figure) => ({ node, figure })));
  await same(page, figures, ({ node, figure }, known) => value(figure, known.get(node)));
});

await step("each has a rate of its own", async () => {
  for (const [node, figure] of [[one, "stanzas-received-rate"], [router, "messages-rate"]]) {
    await until(`${figure} of ${node} is above zero`, async () => (await shown(page, figure, node)) > 0);
  }
  check((await shown(page, "stanzas-received-rate", other)) === 0, "nobody sends at the other one");
  for (const [node, figure, is] of [[one, "sessions", 1], [other, "sessions", 1], [router, "links", 2]]) {
    check((await shown(page, figure, node)) === is, `${figure} of ${node}`);
  }
});

await step("each rate and latency, of one and of all, is what two scrapes of /metrics make", async () => {
  const watched = watch(page, read);
  try {
    await watched.holds([""]);
    await watched.holds([...nodes.keys()], ["stanzas-received", "messages"]);
  } finally {
    await watched.end();
  }
});

await step("the figures of all are those of all /metrics together", async () => {
  await same(page, FIGURES.map(([figure]) => ({ figure })), ({ figure }, known) => {
    const values = [...known.values()].map((of) => value(figure, of));
    return OF_ALL.includes(figure) ? Math.max(...values) : values.reduce((sum, more) => sum + more);
  });
  for (const figure of ["messages-rate", "acknowledge-p99", "deliver-p99"]) {
    await until(`${figure} is above zero`, async () => (await shown(page, figure)) > 0);
  }
});

await step("every button of a process is in sight, whatever its name", async () => {
  const cut = (width) => page.evaluate(() => [...document.querySelectorAll("#nodes button")].filter((one) => {
    const [its, box] = [one, one.closest(".scroll")].map((part) => part.getBoundingClientRect());
    return its.left < box.left || its.right > box.right + 0.5 || its.right > innerWidth;
  }).map((one) => one.ariaLabel)).then((those) => check(those.length === 0, `at ${width} pixels: ${those.join(", ")}`));
  for (const width of [1400, 1280, 1024]) {
    await page.setViewportSize({ width, height: 1240 });
    await cut(width);
  }
  // The name of a pod, for as long as it takes to look.
  const long = "starling-manager-7d9f8b6c5d-x2x4z";
  await page.setViewportSize({ width: 1400, height: 1240 });
  const name = page.locator(`[data-node="${one}"] th`);
  await name.evaluate((box, text) => { box.textContent = text; }, long);
  await cut(1400);
  await name.evaluate((box, text) => { box.textContent = text; }, one);
});

await step("pictures are taken", async () => {
  await until("both sessions are counted", async () => (await shown(page, "sessions-attached")) === 2);
  await page.fill("#message-jid", "bob@localhost");
  await page.fill("#message-id", messageId);
  await page.click("#find-message button");
  await page.locator("#message dd", { hasText: "stored" }).waitFor();
  await page.click("#find-sessions button");
  await page.locator("#sessions-caption", { hasText: "2 sessions" }).waitFor();
  await picture(page, path);
  const named = (name) => path.replace(/\.png$/, `-${name}.png`);
  const titled = (name) => `section[aria-labelledby=${name}-title]`;
  await picture(page, named("people"), await part(page, titled("sessions"), titled("message")));
  await press(page, "Drain", one);
  await page.locator("#ask[open]").waitFor();
  const [box, { width, height }] = [await page.locator("#ask").boundingBox(), page.viewportSize()];
  const off = [box.x + box.width / 2 - width / 2, box.y + box.height / 2 - height / 2].map(Math.abs);
  check(Math.max(...off) < 20, `the question is ${off} pixels off the middle`);
  await picture(page, named("drain"), { clip: { x: box.x - 90, y: box.y - 90, width: box.width + 180, height: box.height + 180 } });
  await page.click("#ask button[value=no]");
});

await step("the figures of one process are those of its /metrics", async () => {
  await page.selectOption("#scope", other);
  const figures = FIGURES.map(([figure]) => ({ figure })).filter(({ figure }) => !OF_ALL.includes(figure));
  await same(page, figures, ({ figure }, known) => value(figure, known.get(other)));
  await page.selectOption("#scope", "");
});

await step("a process is drained by its button, and called back", async () => {
  await press(page, "Drain at once", one);
  await page.click("#ask-yes");
  await until("it is empty", async () => (await state(page, one)) === "drained");
  await until("alice is sent away", async () => !alice.isOpen);
  check((await state(page, other)) === "serving" && (await state(page, router)) === "serving", "others drain, too");
  const focused = await page.evaluate(() => document.activeElement.ariaLabel);
  check(focused === `Call it off: ${one}`, `the focus is at ${focused}`);
  await press(page, "Call it off", one);
  await until("it serves", async () => (await state(page, one)) === "serving");
});

await step("who does not answer is named, and counts no more", async () => {
  process.kill(pid(other), "SIGSTOP");
  try {
    await page.locator("#missing", { hasText: other }).waitFor();
    check((await state(page, other)).includes("no answer"), "its row says nothing of it");
    check(await page.isDisabled(`#nodes button[aria-label='Drain: ${other}']`), "it can be drained");
    check((await shown(page, "connections", other)) === null, "its connections are shown");
    check((await shown(page, "connections")) === 0, "they are among those of all");
  } finally {
    process.kill(pid(other), "SIGCONT");
  }
  await until("it is back", async () => (await page.textContent("#missing")) === "");
  await until("and counts", async () => (await shown(page, "connections")) === 1);
});

clearInterval(load);
await end();
