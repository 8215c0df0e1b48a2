// Alice in one tab, Bob in another: contacts, first messages both ways, the archive after a reload, hostile text.
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.NODE_MODULES}/`)("playwright-core");
const [base, picture, aliceJid = "alice@localhost", alicePassword = "alice", bobJid = "bob@localhost", bobPassword = "bob"] = process.argv.slice(2);
if (!base || !picture) {
  console.error("usage: test.sh <base-url> <screenshot.png> [<alice> <password> <bob> <password>]");
  process.exit(64);
}

let passed = 0;
let failed = 0;
const complaints = [];
const run = String(Math.floor(1000 + Math.random() * 9000));

async function step(name, body) {
  try {
    await body();
    passed += 1;
    console.log(`ok page: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok page: ${name}: ${error.message.split("\n").slice(0, 3).join(" | ")}`);
  }
}

function check(truth, words) {
  if (!truth) throw new Error(words);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

async function tab(options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1100, height: 720 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (line) => {
    if (line.type() === "error") complaints.push(line.text());
  });
  return page;
}

async function enter(page, jid, password) {
  await page.goto("about:blank"); // a change of the hash alone would not load the page anew
  await page.goto(`${base}#user=${jid}`);
  check((await page.inputValue("#address")) === jid, "the address is not filled in from the URL");
  await page.fill("#password", password);
  await page.click("#login-button");
  await page.locator("#status[data-state=online]").waitFor();
}

const contactOf = (page, jid) => page.locator(`.contact[data-jid="${jid}"]`);
const bubbleOf = (page, text) => page.locator("#log .bubble p", { hasText: text });

async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

const alice = await tab();
const bob = await tab({ colorScheme: "dark", viewport: { width: 420, height: 760 } });

await step("a wrong password is refused with words", async () => {
  await alice.goto(`${base}#user=${aliceJid}`);
  await alice.fill("#password", "certainly not this");
  await alice.click("#login-button");
  await alice.locator("#login-error", { hasText: "wrong" }).waitFor();
});
complaints.length = 0;

await step("alice signs in by SCRAM-SHA-256", () => enter(alice, aliceJid, alicePassword));
await step("bob signs in", () => enter(bob, bobJid, bobPassword));
await step("the password is in no URL and no field", async () => {
  check(!alice.url().includes(alicePassword) || alicePassword === "alice", "the URL has the password");
  check((await alice.inputValue("#password")) === "", "the field kept the password");
});

await step("alice adds bob, bob accepts, both see the other online", async () => {
  if ((await contactOf(alice, bobJid).count()) === 0 || !(await contactOf(alice, bobJid).innerText()).includes("(Online)")) {
    await alice.fill("#add-jid", bobJid);
    await alice.click("#add-form button");
  }
  const accept = bob.locator(".request button.primary");
  const there = bob.locator(`.contact[data-jid="${aliceJid}"] .dot[data-show=available]`);
  await accept.or(there).first().waitFor();
  if (await accept.count()) await accept.first().click();
  const back = alice.locator(".request button.primary");
  await back.or(alice.locator(`.contact[data-jid="${bobJid}"] .dot[data-show=available]`)).first().waitFor();
  if (await back.count()) await back.first().click();
  await alice.locator(`.contact[data-jid="${bobJid}"] .dot[data-show=available]`).waitFor();
  await there.waitFor();
});

await step("the first message reaches bob and raises a badge", async () => {
  await contactOf(alice, bobJid).click();
  await say(alice, `Good morning, Bob! Is platform ${run} the right one?`);
  await contactOf(bob, aliceJid).locator(".unread").waitFor();
  await contactOf(bob, aliceJid).click();
  await bubbleOf(bob, `Good morning, Bob! Is platform ${run} the right one?`).waitFor();
});

await step("bob's answer reaches alice", async () => {
  await say(bob, `It is, and the ${run} to the harbour is on time.`);
  await bubbleOf(alice, `It is, and the ${run} to the harbour is on time.`).waitFor();
});

await step("pictures are taken", async () => {
  await say(bob, "Shall we have lunch at the harbour?");
  await say(alice, "Yes! At noon, by the blue boats.\nI will bring the map.");
  await bubbleOf(bob, "by the blue boats").last().waitFor();
  await say(bob, "Perfect, see you there.");
  await bubbleOf(alice, "Perfect, see you there.").last().waitFor();
  await alice.screenshot({ path: picture });
  await bob.screenshot({ path: picture.replace(/\.png$/, "-narrow.png") });
});

await step("markup arrives as text", async () => {
  const hostile = `<img src=x onerror="document.title='owned'"> <b>&amp;</b> ]]> ${run}`;
  await say(alice, hostile);
  await bubbleOf(bob, run).last().waitFor();
  await bob.waitForFunction((text) => [...document.querySelectorAll("#log .bubble p")].some((p) => p.textContent === text), hostile);
  check((await bob.locator("#log img, #log b").count()) === 0, "markup became elements");
  check(!(await bob.title()).includes("owned"), "a script of the message ran");
});

await step("what alice wrote in one tab shows in her other one (carbons)", async () => {
  const second = await tab();
  await enter(second, aliceJid, alicePassword);
  await contactOf(second, bobJid).click();
  await bubbleOf(second, `Good morning, Bob! Is platform ${run} the right one?`).waitFor();
  await say(alice, `Shown everywhere ${run}`);
  await bubbleOf(second, `Shown everywhere ${run}`).waitFor();
  await say(bob, `Copied too ${run}`);
  await bubbleOf(second, `Copied too ${run}`).waitFor();
  await second.context().close();
});

await step("after a reload the archive shows the conversation once", async () => {
  await enter(alice, aliceJid, alicePassword);
  await contactOf(alice, bobJid).click();
  await bubbleOf(alice, `Copied too ${run}`).waitFor();
  const first = bubbleOf(alice, `Good morning, Bob! Is platform ${run} the right one?`);
  await first.first().waitFor();
  const shown = await first.count();
  check(shown === 1, `the first message is there ${shown} times`);
});

await step("older messages load on request, none lost, none twice", async () => {
  for (let number = 0; number < 70; number += 1) await say(alice, `number ${number} of ${run}`);
  await bubbleOf(bob, `number 69 of ${run}`).waitFor();
  await enter(alice, aliceJid, alicePassword);
  await contactOf(alice, bobJid).click();
  await bubbleOf(alice, `number 69 of ${run}`).waitFor();
  for (let pages = 0; pages < 4 && (await bubbleOf(alice, `Good morning, Bob! Is platform ${run} the right one?`).count()) === 0; pages += 1) {
    const before = await alice.locator("#log .bubble").count();
    await alice.click("#older");
    await alice.waitForFunction((count) => document.querySelectorAll("#log .bubble").length > count, before);
  }
  const texts = (await alice.locator("#log .bubble p").allTextContents()).filter((text) => text.startsWith("number ") && text.endsWith(run));
  check(texts.length === 70, `70 were sent, ${texts.length} are shown`);
  check(texts.every((text, index) => text === `number ${index} of ${run}`), "they are not in order");
});

await step("the page comes back after a lost connection", async () => {
  const lossy = await tab();
  await lossy.addInitScript(() => {
    const Real = WebSocket;
    globalThis.sockets = [];
    globalThis.WebSocket = class extends Real {
      constructor(...args) {
        super(...args);
        globalThis.sockets.push(this);
      }
    };
  });
  await enter(lossy, aliceJid, alicePassword);
  await contactOf(lossy, bobJid).click();
  await bubbleOf(lossy, `number 69 of ${run}`).waitFor();
  await lossy.evaluate(() => globalThis.sockets.at(-1).close());
  await lossy.locator("#status[data-state=waiting]").waitFor();
  await say(bob, `While you were out ${run}`);
  await lossy.locator("#status[data-state=online]").waitFor();
  await bubbleOf(lossy, `While you were out ${run}`).waitFor();
  check((await bubbleOf(lossy, `number 69 of ${run}`).count()) === 1, "a message is shown twice after coming back");
  await lossy.context().close();
});

await step("a narrow window shows one side at a time", async () => {
  check(!(await bob.locator(".side").isVisible()), "the contacts are in the way");
  await bob.click("#back");
  check(await bob.locator(".side").isVisible(), "no way back to the contacts");
  check(!(await bob.locator(".talk").isVisible()), "the conversation is in the way");
});

await step("the browser had nothing to complain about", async () => {
  check(complaints.length === 0, complaints.join("; "));
});

await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
