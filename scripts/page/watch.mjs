// What the console works out of two answers - rates, quantiles, how many came - beside what /metrics had around these very answers.
import { FIGURES, LATENCIES, RATES, check, until } from "./kit.mjs";

const EVERY = 100; // ms between two scrapes
const APART = 15; // ms by which the clocks of the page and of this program may differ
const WIDEST = 0.6; // of the figure: scrapes that far apart would prove nothing
const INSIDE = 0.1; // of a quantile: within a bucket it is a guess
const RECENT = 6; // answers: the latencies of ten seconds

/** Scrapes again and again, and notes when the page asked for counts; `read` gives `of` of each node by its name. */
export function watch(page, read) {
  const [scrapes, asked, drawn] = [[], [], []];
  let isOver = false;
  const heard = (request) => {
    if (!request.url().endsWith("/v1/nodes/counts")) return;
    const { startTime, responseEnd } = request.timing();
    asked.push({ from: startTime - APART, to: startTime + responseEnd + APART });
  };
  page.on("requestfinished", heard);
  const scraping = (async () => {
    while (!isOver) {
      const from = Date.now();
      const of = await read();
      scrapes.push({ from, to: Date.now(), of });
      await look();
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    }
  })();

  /** When the page drew its last answer, and all that it shows. */
  async function look() {
    const { at, values } = await page.evaluate(() => ({
      at: performance.timeOrigin + Number(document.getElementById("figures").dataset.at),
      values: [...document.querySelectorAll("[data-figure]")].map((box) => [`${box.closest("[data-node]")?.dataset.node ?? ""} ${box.dataset.figure}`, box.dataset.value === "" ? null : Number(box.dataset.value)]),
    }));
    if (!Number.isNaN(at) && at !== drawn.at(-1)) drawn.push(at);
    return new Map(values);
  }

  /** The scrapes before and after the counts of an answer were taken. */
  function around(at) {
    const request = asked.findLast(({ from }) => from < at);
    const before = request && scrapes.findLast(({ to }) => to <= request.from);
    const after = request && scrapes.find(({ from }) => from >= request.to);
    return before && after ? [before.of, after.of] : null;
  }

  return {
    /** Each of `nodes`, `""` for all together, has the rates and latencies of /metrics. */
    async holds(nodes, rates = RATES) {
      let wrong = [];
      await until("rates and latencies are those of /metrics", async () => {
        const shown = await look();
        const now = drawn.at(-1);
        if (drawn.length < RECENT) return false;
        await until("the page's answer has a scrape behind it", async () => around(now) !== null);
        const ends = [now, drawn.at(-2), drawn.at(-RECENT)].map((at) => around(at));
        if (ends.includes(null)) return false;
        const seconds = (now - drawn.at(-2)) / 1000;
        wrong = nodes.flatMap((node) => [
          ...rates.map((figure) => aRate(shown, node, figure, ends[0], ends[1], seconds)),
          ...(node === "" ? LATENCIES.flatMap((latency) => aLatency(shown, latency, ends[0], ends[2])) : []),
        ]).filter(Boolean);
        return wrong.length === 0;
      }).catch((error) => check(false, `${error.message}: ${wrong.join(" | ")}`));
    },
    async end() {
      isOver = true;
      page.off("requestfinished", heard);
      await scraping;
    },
  };
}

const sum = (known, node, figure) => (node ? [known.get(node)] : [...known.values()]).reduce((all, of) => all + figure(of), 0);

/** What is wrong with a rate: at least what came from the scrape after the earlier answer to the one before the later, at most from the one before to the one after. */
function aRate(shown, node, figure, [nowBefore, nowAfter], [thenBefore, thenAfter], seconds) {
  const counter = FIGURES.find(([name]) => name === figure)[1];
  const count = (known) => sum(known, node, counter);
  const [least, most] = [(count(nowBefore) - count(thenAfter)) / seconds, (count(nowAfter) - count(thenBefore)) / seconds];
  const value = shown.get(`${node} ${figure}-rate`);
  if (value !== null && value !== undefined && value >= least - 1e-6 && value <= most + 1e-6) {
    return most - least > WIDEST * most && most - least > 4 / seconds ? `${node} ${figure}: between ${least} and ${most} a second is no test` : null;
  }
  return `${node} ${figure}: ${value} a second is not between ${least} and ${most}`;
}

/** What is wrong with how many came in ten seconds, and with the times of a half and 99 of 100 of them. */
function aLatency(shown, [figure, name, label], nows, thens) {
  const counted = (known) => {
    const bounds = new Set([...known.values()].flatMap((of) => of.bounds(name)));
    const upTo = [...bounds].sort((one, other) => one - other).map((bound) => [Number(bound), sum(known, "", (one) => one(`${name}_bucket`, `le="${bound}"`, label))]);
    return { count: sum(known, "", (one) => one(`${name}_count`, label)), upTo };
  };
  const pairs = nows.flatMap((now) => thens.map((then) => [counted(then), counted(now)]));
  const between = (part, values, spare) => {
    const [value, known] = [shown.get(` ${figure}-${part}`), values.filter((one) => one !== null)];
    const [least, most] = [Math.min(...known) * (1 - spare), Math.max(...known) * (1 + spare)];
    return value !== null && known.length > 0 && value >= least && value <= most ? null : `${figure}-${part}: ${value} is not between ${least} and ${most}`;
  };
  return [
    between("recent", pairs.map(([then, now]) => now.count - then.count), 0),
    ...[["p50", 0.5], ["p99", 0.99]].map(([part, share]) => between(part, pairs.map(([then, now]) => quantile(then, now, share)), INSIDE)),
  ];
}

/** As `histogram_quantile` of Prometheus does it, of what came between two scrapes. */
function quantile(then, now, share) {
  const rank = share * (now.count - then.count);
  if (rank <= 0) return null;
  const came = now.upTo.map(([bound, count]) => [bound, count - (then.upTo.find(([one]) => one === bound)?.[1] ?? 0)]);
  const at = came.findIndex(([, count]) => count >= rank);
  if (at < 0) return Infinity;
  const [from, below] = at === 0 ? [0, 0] : came[at - 1];
  return from + ((came[at][0] - from) * (rank - below)) / Math.max(came[at][1] - below, 1);
}
