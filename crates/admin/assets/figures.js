// What is worked out from the counts of the server: rates and quantiles are differences of two answers.

/** The counts of each process that was there both times and has not begun anew between them: of one that is named, or of all. */
function pairs(before, now, node) {
  const both = [...now.nodes.values()].filter((one) => !node || one.node === node).map((one) => [before.nodes.get(one.node), one]);
  return both.filter(([earlier, one]) => earlier && earlier["uptime-seconds"] <= one["uptime-seconds"]);
}

/** What came a second between two answers; null where nobody counted both times. */
export function rate(before, now, figure, node) {
  const seconds = (now.at - before.at) / 1000;
  const more = pairs(before, now, node).map(([earlier, one]) => one[figure] - earlier[figure]).filter((more) => more >= 0);
  return seconds > 0 && more.length > 0 ? more.reduce((sum, one) => sum + one) / seconds : null;
}

/** What came between two answers, by the bounds of the buckets. */
export function between(before, now, figure, node) {
  const came = { count: 0, buckets: new Map() };
  for (const [earlier, one] of pairs(before, now, node)) {
    if (one[figure].count < earlier[figure].count) continue;
    came.count += one[figure].count - earlier[figure].count;
    const known = new Map(earlier[figure].buckets.map((bucket) => [bucket["up-to-seconds"], bucket.count]));
    for (const { "up-to-seconds": upTo, count } of one[figure].buckets) {
      came.buckets.set(upTo, (came.buckets.get(upTo) ?? 0) + count - (known.get(upTo) ?? 0));
    }
  }
  return came;
}

/** The quantile of that; null if nothing came. */
export function quantile({ count, buckets }, share) {
  if (count === 0) return null;
  let [below, bound] = [0, 0];
  for (const [upTo, within] of [...buckets].sort(([one], [other]) => one - other)) {
    if (within >= share * count) {
      // As Prometheus does: evenly spread between the bounds.
      return bound + ((upTo - bound) * (share * count - below)) / Math.max(within - below, 1);
    }
    [below, bound] = [within, upTo];
  }
  return Infinity;
}

export function bytes(count) {
  if (count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (count >= 1024 && at < units.length - 1) [count, at] = [count / 1024, at + 1];
  return `${count < 10 && at > 0 ? count.toFixed(1) : Math.round(count)} ${units[at]}`;
}

export function time(seconds) {
  if (seconds === null) return "–";
  if (seconds === Infinity) return "above 60 s";
  const short = (value) => (value < 10 ? value.toPrecision(2) : Math.round(value));
  return seconds < 1 ? `${short(seconds * 1000)} ms` : `${short(seconds)} s`;
}

export const perSecond = (value) => (value === null ? "–" : value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));
