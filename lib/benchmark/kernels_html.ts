import {
  barChart,
  escapeText,
  marker,
  rooflineChart,
  SHAPES,
  shortNumber,
  type Bar,
  type Mark,
  type Shape,
} from "./charts";
import { dotProductPeak, type KernelBenchLine, type KernelBenchReport, type WeightSource } from "./kernels";

/** All shapes of one kernel, batch, number of threads and source together. */
interface Total {
  /** The kernel, with the kind of weights where they aren't ternary. */
  label: string;
  family: string;
  isa: string;
  batch: number;
  threads: number;
  source: WeightSource;
  gigamacsPerSecond: number;
  gigabytesPerSecond: number;
  bitsPerWeight: number;
  exact: boolean;
}

const STYLE = `
:root { color-scheme: light dark; --back: #fff; --text: #1d2330; --soft: #667085; --rule: #d9dee7; --limit: #b42318;
  --c0: #2563eb; --c1: #0f9d58; --c2: #d97706; --c3: #9333ea; --c4: #db2777; --c5: #0891b2; --c6: #65a30d; --c7: #475467; }
@media (prefers-color-scheme: dark) { :root { --back: #12151c; --text: #e6e9ef; --soft: #98a2b3; --rule: #2c3340;
  --limit: #f97066; --c0: #6ea0ff; --c1: #4ad295; --c2: #fbb040; --c3: #c084fc; --c4: #f472b6; --c5: #22d3ee;
  --c6: #a3e635; --c7: #98a2b3; } }
body { margin: 0 auto; max-width: 1560px; padding: 24px; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 28px 0 6px; } p { margin: 4px 0; max-width: 90ch; }
.soft { color: var(--soft); }
.charts { display: grid; gap: 20px 32px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 560px), 1fr)); }
figure { margin: 0; } figcaption { font-weight: 600; margin-bottom: 4px; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; } svg text { fill: var(--text); }
svg .note { fill: var(--soft); }
svg .over { paint-order: stroke; stroke: var(--back); stroke-width: 4; stroke-linejoin: round; }
svg .grid, svg .axis { stroke: var(--rule); } svg .limit { stroke: var(--limit); stroke-dasharray: 5 3; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 6px 0; } .legend svg { width: 14px; height: 14px; vertical-align: -2px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--rule); }
th { position: sticky; top: 0; background: var(--back); }
.text { text-align: left; } .wrong { color: var(--limit); font-weight: 700; }
`;
const COLOURS = 8;

/** A page with the charts and all results; it needs nothing but itself. */
export function kernelsHtml({ cpu, limits, energy, results }: KernelBenchReport): string {
  const families = distinct(results.map(({ family }) => family));
  // The scalar reference lies so far below the others that it would squeeze them together.
  const all = distinct(results.map(({ isa }) => isa));
  const isas = all.length > 1 ? all.filter((isa) => isa !== "scalar") : all;
  const colour = (family: string): string => `c${families.indexOf(family) % COLOURS}`;
  const shape = (isa: string): Shape => SHAPES[isas.indexOf(isa) % SHAPES.length] ?? "circle";
  const totals = addUp(results);
  const threadCounts = distinct(totals.map(({ threads }) => threads));
  const sections = threadCounts.map((threads) => {
    const mine = totals.filter((total) => total.threads === threads);
    const bandwidth = limits.bandwidth.find((each) => each.threads === threads)?.gigabytesPerSecond ?? Infinity;
    const peaks = limits.dotProduct
      .filter((each) => each.threads === threads)
      .map(({ isa, gigamacsPerSecond: value }) => ({
        label: `${isa} dot products, ${shortNumber(value)} GMAC/s`,
        value,
      }));
    const points = mine
      .filter(({ isa }) => isas.includes(isa))
      .map((total) => ({
        x: (8 * total.batch) / total.bitsPerWeight,
        y: total.gigamacsPerSecond,
        className: `${colour(total.family)}${total.source === "cache" ? " hollow" : ""}`,
        shape: shape(total.isa),
        title: titleOf(total),
      }));
    const charts = distinct(mine.map(({ batch }) => batch)).flatMap((batch) =>
      distinct(mine.map(({ source }) => source)).map((source) => {
        const chosen = mine.filter((total) => total.batch === batch && total.source === source);
        const peak = dotProductPeak(limits, threads);
        const marks = batch > 1 && Number.isFinite(peak) ? [{ value: peak, label: "dot-product peak" }] : [];
        return figure(`${batchName(batch)}, weights from ${source}`, bars(chosen, colour, marks));
      }),
    );
    return (
      `<h2>${plural(threads, "thread")}</h2>` +
      `<p class="soft">Memory reads ${shortNumber(bandwidth)} GB/s. All shapes together.</p>` +
      `<div class="charts">${figure("Roofline", rooflineChart(points, { bandwidth, peaks }))}${charts.join("")}</div>`
    );
  });
  const sizes = distinct(totals.map(({ label }) => label)).map((label) => {
    const total = totals.find((each) => each.label === label);
    const value = total?.bitsPerWeight ?? 0;
    const className = colour(total?.family ?? "");
    return { label, value, className, title: `${label}: ${shortNumber(value)} bits per weight` };
  });
  const colours = Array.from({ length: COLOURS }, (_, i) => `svg .c${i} { fill: var(--c${i}); stroke: var(--c${i}); }`);
  const wrong = results.some(({ exact }) => !exact);
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Kernels</title>',
    `<style>${STYLE}${colours.join("\n")}\nsvg .hollow { fill: var(--back); stroke-width: 1.8; }</style></head><body>`,
    `<h1>Kernels on ${escapeText(cpu.model)}</h1>`,
    `<p class="soft">${plural(cpu.usableCpus, "CPU")} usable, ${plural(cpu.physicalCores, "core")}; ` +
      `${escapeText(cpu.features.join(" "))}</p>`,
    `<p${wrong ? ' class="wrong"' : ""}>${
      wrong
        ? "Some sums differ from the scalar reference: see the table."
        : "Every sum that was compared equals the scalar reference's."
    }</p>`,
    `<p>Energy per token: ${energyText(energy)}</p>`,
    `<div class="legend">${legend(families, isas, colour, shape)}</div>`,
    ...sections,
    `<h2>Size</h2><div class="charts">${figure("Bits per weight, packed", barChart(sizes, "bits"))}</div>`,
    `<h2>All results</h2><div class="scroll">${resultTable(results)}</div>`,
    "</body></html>\n",
  ].join("\n");
}

function bars(totals: readonly Total[], colour: (family: string) => string, marks: readonly Mark[]): string {
  const sorted = [...totals].sort((a, b) => b.gigamacsPerSecond - a.gigamacsPerSecond);
  const shown = sorted.map((total): Bar => {
    const { label, gigamacsPerSecond: value, family } = total;
    return { label, value, className: colour(family), title: titleOf(total) };
  });
  return barChart(shown, "GMAC/s", marks);
}

function titleOf(total: Total): string {
  const { label, batch, threads, source, gigamacsPerSecond, gigabytesPerSecond } = total;
  return (
    `${label}, ${batchName(batch).toLowerCase()}, ${plural(threads, "thread")}, from ${source}: ` +
    `${shortNumber(gigamacsPerSecond)} GMAC/s, ${shortNumber(gigabytesPerSecond)} GB/s`
  );
}

/** Times of all shapes added up, so that speeds weigh each by its size. */
function addUp(results: readonly KernelBenchLine[]): Total[] {
  const groups = new Map<string, KernelBenchLine[]>();
  for (const line of results) {
    const key = [line.kernel, line.weights, line.batch, line.threads, line.source].join(" ");
    groups.set(key, [...(groups.get(key) ?? []), line]);
  }
  return [...groups.values()].flatMap((lines) => {
    const [first] = lines;
    if (!first) return [];
    const sum = (value: (line: KernelBenchLine) => number): number => lines.reduce((all, each) => all + value(each), 0);
    const time = sum(({ microseconds }) => microseconds);
    const weights = sum(({ m, k }) => m * k);
    const bytes = sum(({ packedBytes }) => packedBytes);
    const { kernel, weights: kind, family, isa, batch, threads, source } = first;
    const label = kind === "ternary" ? kernel : `${kernel} ${kind}`;
    return {
      ...{ label, family, isa, batch, threads, source },
      gigamacsPerSecond: (weights * batch) / time / 1e3,
      gigabytesPerSecond: bytes / time / 1e3,
      bitsPerWeight: (8 * bytes) / weights,
      exact: lines.every(({ exact }) => exact),
    };
  });
}

function legend(
  families: readonly string[],
  isas: readonly string[],
  colour: (family: string) => string,
  shape: (isa: string) => Shape,
): string {
  const item = (mark: string, text: string): string =>
    `<span><svg viewBox="0 0 14 14" aria-hidden="true">${mark}</svg> ${escapeText(text)}</span>`;
  const swatch = (className: string): string => `<rect class="${className}" x="0" y="4" width="14" height="7" rx="2"/>`;
  const grey = (of: Shape, className = "c7"): string => marker({ className, shape: of, title: "" }, 7, 7);
  return [
    ...families.map((family) => item(swatch(colour(family)), family)),
    ...isas.map((isa) => item(grey(shape(isa)), isa)),
    item(grey("circle"), "filled: weights from memory"),
    item(grey("circle", "c7 hollow"), "hollow: weights from cache"),
  ].join("");
}

function energyText(energy: KernelBenchReport["energy"]): string {
  if (energy === "not available") return "not available (no readable RAPL counters).";
  const each = energy.map(
    ({ kernel, joulesPerToken, joulesPerTokenAboveIdle }) =>
      `${escapeText(kernel)} ${shortNumber(joulesPerToken)} J (${shortNumber(joulesPerTokenAboveIdle)} J above idle)`,
  );
  return `${each.join(", ")}.`;
}

function resultTable(results: readonly KernelBenchLine[]): string {
  const heads = [
    "kernel",
    "weights",
    "shape",
    "source",
    "batch",
    "threads",
    "us",
    "GMAC/s",
    "GB/s",
    "of limit",
    "bytes",
    "exact",
  ];
  const texts = 4;
  const row = (cells: readonly string[], tag: "td" | "th"): string =>
    `<tr>${cells.map((cell, i) => `<${tag}${i < texts ? ' class="text"' : ""}>${escapeText(cell)}</${tag}>`).join("")}</tr>`;
  const rows = results.map((line) => {
    const cells = [
      ...[line.kernel, line.weights, `${line.m}x${line.k}`, line.source, String(line.batch), String(line.threads)],
      ...[line.microseconds, line.gigamacsPerSecond, line.gigabytesPerSecond].map(shortNumber),
      ...[`${(line.fractionOfLimit * 100).toFixed(0)} %`, String(line.packedBytes), line.exact ? "yes" : "NO"],
    ];
    return row(cells, "td");
  });
  return `<table><thead>${row(heads, "th")}</thead><tbody>${rows.join("\n")}</tbody></table>`;
}

function figure(caption: string, chart: string): string {
  return `<figure><figcaption>${escapeText(caption)}</figcaption>${chart}</figure>`;
}

function batchName(batch: number): string {
  return batch === 1 ? "One token" : `${batch} tokens`;
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
