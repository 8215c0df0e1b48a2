// What is worked out from the counts of the server: rates and quantiles are differences of two answers.

/** The quantile of what came between two answers, by the bounds of the buckets; null if nothing came. */
export function quantile(before, now, share) {
  const count = now.count - before.count;
  if (count <= 0) return null;
  const earlier = new Map(before.buckets.map((bucket) => [bucket["up-to-seconds"], bucket.count]));
  let [below, bound] = [0, 0];
  for (const bucket of now.buckets) {
    const upTo = bucket["up-to-seconds"];
    const within = bucket.count - (earlier.get(upTo) ?? 0);
    if (within >= share * count) {
      // As Prometheus does: evenly spread between the bounds.
      return bound + ((upTo - bound) * (share * count - below)) / Math.max(within - below, 1);
    }
    [below, bound] = [within, upTo];
  }
  return Infinity;
}

/** What came a second between two answers; null where the process began anew between them. */
export function rate(before, now, figure) {
  const seconds = (now.at - before.at) / 1000;
  const more = now[figure] - before[figure];
  return seconds > 0 && more >= 0 ? more / seconds : null;
}

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (count >= 1024 && at < units.length - 1) [count, at] = [count / 1024, at + 1];
  return `${count < 10 && at > 0 ? count.toFixed(1) : Math.round(count)} ${units[at]}`;
}

export function time(seconds) {
  if (seconds === null) return "–";
  if (seconds === Infinity) return "above 60 s";
  return seconds < 1 ? `${(seconds * 1000).toPrecision(2)} ms` : `${seconds.toPrecision(2)} s`;
}

export const perSecond = (value) => (value === null ? "–" : value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));
