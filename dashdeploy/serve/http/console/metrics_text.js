// Prometheus' text format, and quantiles of its histograms.

/** {"model/version": {metric, or metric|le: value}} */
export function parse(text) {
  const models = {};
  for (const line of text.split("\n")) {
    const match = /^(\w+)\{(.*)\} (\S+)$/.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of match[2].matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value.replace(/\\(.)/g, "$1");
    if (!labels.model || !labels.version) continue;
    const values = (models[`${labels.model}/${labels.version}`] ??= {});
    const name = labels.le ? `${match[1]}|${labels.le}` : match[1];
    values[name] = (values[name] ?? 0) + Number(match[3]);
  }
  return models;
}

/** The counts of each bucket, {le, count}, between two samples. */
export function buckets(now, before, name) {
  const result = [];
  let last = 0;
  for (const [key, value] of Object.entries(now)) {
    if (!key.startsWith(`${name}_bucket|`)) continue;
    const total = value - (before[key] ?? 0), le = key.split("|")[1];
    result.push({le: le === "+Inf" ? Infinity : Number(le), count: Math.max(0, total - last)});
    last = total;
  }
  return result;
}

/** Linear within a bucket, as Prometheus does; null of nothing. */
export function quantile(parts, share) {
  const total = parts.reduce((sum, part) => sum + part.count, 0);
  if (!total) return null;
  let seen = 0, low = 0;
  for (const part of parts) {
    if (seen + part.count >= share * total) {
      return Number.isFinite(part.le) ? low + ((part.le - low) * (share * total - seen)) / part.count : low;
    }
    seen += part.count;
    low = part.le;
  }
  return low;
}
