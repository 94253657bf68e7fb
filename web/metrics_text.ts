/** A sample of Prometheus' text format. */
export interface Sample {
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}

/** Reads Prometheus' text format. */
export function parseMetrics(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    const parts = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!parts?.[1]) continue;
    const labels: Record<string, string> = {};
    for (const [, name, value] of (parts[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      if (name !== undefined) labels[name] = (value ?? "").replace(/\\(.)/g, "$1");
    }
    samples.push({ name: parts[1], labels, value: Number(parts[3]) });
  }
  return samples;
}

/** The sum of all samples of a name that have these labels; undefined if there are none. */
export function total(
  samples: readonly Sample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const found = samples.filter(
    (each) => each.name === name && Object.entries(labels).every(([key, value]) => each.labels[key] === value),
  );
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
}

/** A quantile of what a histogram took in between two readings, told from its buckets; undefined if that was nothing. */
export function quantile(
  before: readonly Sample[],
  after: readonly Sample[],
  name: string,
  share: number,
): number | undefined {
  const bounds = [
    ...new Set(after.filter((each) => each.name === `${name}_bucket`).map(({ labels }) => labels.le ?? "")),
  ];
  const counts = bounds.map((le) => {
    const count = total(after, `${name}_bucket`, { le }) ?? 0;
    return {
      bound: le === "+Inf" ? Infinity : Number(le),
      count: count - (total(before, `${name}_bucket`, { le }) ?? 0),
    };
  });
  counts.sort((a, b) => a.bound - b.bound);
  const wanted = (counts.at(-1)?.count ?? 0) * share;
  if (wanted <= 0) return undefined;
  let low = { bound: 0, count: 0 };
  for (const each of counts) {
    if (each.count < wanted) {
      low = each;
      continue;
    }
    if (each.bound === Infinity) return low.bound;
    return low.bound + ((each.bound - low.bound) * (wanted - low.count)) / (each.count - low.count);
  }
  return undefined;
}
