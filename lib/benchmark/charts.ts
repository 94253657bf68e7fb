/** Charts as SVG text, coloured by classes of the page that they stand in. */

/** Text made safe for HTML and SVG. */
export function escapeText(text: string): string {
  const names: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => names[character] ?? character);
}

/** A number with three significant digits, without an exponent. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 6));
}

/** One bar. */
export interface Bar {
  label: string;
  value: number;
  /** CSS class that colours it. */
  className: string;
  /** Shown while the pointer is on it. */
  title: string;
}

/** A line across the bars, a limit for example. */
export interface Mark {
  value: number;
  label: string;
}

const BAR = { width: 720, right: 70, row: 24, top: 30 };

/** Width that a text of the charts takes at most. */
function textWidth(text: string): number {
  return 7 * text.length;
}

/** A mark this many times as far as the longest bar is told, not drawn: it would squeeze the bars together. */
const FAR = 1.6;

/** Horizontal bars from 0, in the order given. */
export function barChart(bars: readonly Bar[], unit: string, marks: readonly Mark[] = []): string {
  const { width, right, row, top } = BAR;
  const left = Math.min(width / 2, 16 + Math.max(...bars.map(({ label }) => textWidth(label)), 60));
  const height = top + bars.length * row + 28;
  const longest = Math.max(...bars.map(({ value }) => value), 1e-9);
  const near = marks.filter(({ value }) => value <= FAR * longest);
  const most = Math.max(longest, ...near.map(({ value }) => value));
  const scale = (value: number): number => (value / most) * (width - left - right);
  const parts = bars.map(({ label, value, className, title }, i) => {
    const y = top + i * row;
    const length = Math.max(1, scale(value)).toFixed(1);
    return (
      `<g><title>${escapeText(title)}</title>` +
      `<text class="label" x="${left - 8}" y="${y + 15}" text-anchor="end">${escapeText(label)}</text>` +
      `<rect class="${className}" x="${left}" y="${y + 3}" width="${length}" height="${row - 7}" rx="2"/>` +
      `<text class="value" x="${(left + scale(value) + 6).toFixed(1)}" y="${y + 15}">${shortNumber(value)}</text></g>`
    );
  });
  for (const { value, label } of marks) {
    if (value > FAR * longest) {
      const note = `${label}: ${shortNumber(value)} \u2192`;
      parts.push(
        `<text class="note" x="${width - right}" y="${top - 12}" text-anchor="end">${escapeText(note)}</text>`,
      );
      continue;
    }
    const x = (left + scale(value)).toFixed(1);
    parts.push(
      `<line class="limit" x1="${x}" x2="${x}" y1="${top - 6}" y2="${height - 26}"/>` +
        `<text class="note" x="${x}" y="${top - 12}" text-anchor="end">${escapeText(label)}</text>`,
    );
  }
  parts.push(
    `<line class="axis" x1="${left}" x2="${left}" y1="${top - 2}" y2="${height - 26}"/>` +
      `<text class="note" x="${left}" y="${height - 8}">${escapeText(unit)}</text>`,
  );
  return svg(width, height, unit, parts);
}

/** Corners around 0 of the shapes that aren't round, in pixels. */
const CORNERS = {
  square: [
    [-4.5, -4.5],
    [4.5, -4.5],
    [4.5, 4.5],
    [-4.5, 4.5],
  ],
  triangle: [
    [0, -5.5],
    [5.5, 4.5],
    [-5.5, 4.5],
  ],
  diamond: [
    [0, -6],
    [6, 0],
    [0, 6],
    [-6, 0],
  ],
  down: [
    [0, 5.5],
    [5.5, -4.5],
    [-5.5, -4.5],
  ],
  hexagon: [
    [-5.5, 0],
    [-2.75, -4.75],
    [2.75, -4.75],
    [5.5, 0],
    [2.75, 4.75],
    [-2.75, 4.75],
  ],
} as const;

/** How a point is drawn. */
export type Shape = keyof typeof CORNERS | "circle";

/** All shapes. */
export const SHAPES: readonly Shape[] = ["square", "triangle", "diamond", "down", "hexagon", "circle"];

/** One point of a roofline chart. */
export interface Point {
  /** Multiply-adds for each byte of weights. */
  x: number;
  /** 1e9 multiply-adds a second. */
  y: number;
  className: string;
  shape: Shape;
  title: string;
}

/** What bounds the points of a roofline chart. */
export interface Roof {
  /** 1e9 bytes a second. */
  bandwidth: number;
  peaks: { label: string; value: number }[];
}

const PLOT = { width: 720, height: 430, left: 62, right: 20, top: 20, bottom: 46 };

/** Speed over multiply-adds for each byte, both logarithmic, below the slope of the memory and the machine's peaks. */
export function rooflineChart(points: readonly Point[], roof: Roof): string {
  const { width, height, left, right, top, bottom } = PLOT;
  const xs = points.map(({ x }) => x);
  const ys = [...points.map(({ y }) => y), ...roof.peaks.map(({ value }) => value)].filter((y) => y > 0);
  const range = (values: readonly number[], margin: number): [number, number] => [
    Math.log10(Math.min(...values) / margin),
    Math.log10(Math.max(...values) * margin),
  ];
  const [x0, x1] = range(xs, 1.6);
  const [y0, y1] = range(ys, 1.6);
  const px = (x: number): number => left + ((Math.log10(x) - x0) / (x1 - x0)) * (width - left - right);
  const py = (y: number): number => height - bottom - ((Math.log10(y) - y0) / (y1 - y0)) * (height - top - bottom);
  const inside = (y: number): number => Math.min(py(y), height - bottom);
  const parts: string[] = [];
  for (const x of ticks(x0, x1)) {
    parts.push(
      `<line class="grid" x1="${px(x).toFixed(1)}" x2="${px(x).toFixed(1)}" y1="${top}" y2="${height - bottom}"/>` +
        `<text class="note" x="${px(x).toFixed(1)}" y="${height - bottom + 16}" text-anchor="middle">${shortNumber(x)}</text>`,
    );
  }
  for (const y of ticks(y0, y1)) {
    parts.push(
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${py(y).toFixed(1)}" y2="${py(y).toFixed(1)}"/>` +
        `<text class="note" x="${left - 6}" y="${(py(y) + 4).toFixed(1)}" text-anchor="end">${shortNumber(y)}</text>`,
    );
  }
  const best = Math.max(...roof.peaks.map(({ value }) => value), 0);
  const ridge = Math.min(10 ** x1, Math.max(10 ** x0, best / roof.bandwidth));
  const start = Math.max(10 ** x0, 10 ** y0 / roof.bandwidth);
  if (Number.isFinite(roof.bandwidth) && start < ridge) {
    parts.push(
      `<line class="limit" x1="${px(start).toFixed(1)}" y1="${inside(start * roof.bandwidth).toFixed(1)}" ` +
        `x2="${px(ridge).toFixed(1)}" y2="${inside(ridge * roof.bandwidth).toFixed(1)}"/>`,
    );
  }
  for (const point of points) {
    parts.push(marker(point, px(point.x), py(point.y)));
  }
  for (const { label, value } of roof.peaks) {
    const from = Number.isFinite(roof.bandwidth)
      ? Math.max(10 ** x0, Math.min(10 ** x1, value / roof.bandwidth))
      : 10 ** x0;
    const y = py(value).toFixed(1);
    parts.push(
      `<line class="limit" x1="${px(from).toFixed(1)}" x2="${width - right}" y1="${y}" y2="${y}"/>` +
        noteOver(label, px(from) + 8, py(value) - 4, width - right),
    );
  }
  parts.push(
    `<text class="note" x="${(left + width - right) / 2}" y="${height - 8}" text-anchor="middle">` +
      "multiply-adds for each byte of packed weights</text>" +
      `<text class="note" transform="translate(14 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">GMAC/s</text>`,
  );
  return svg(width, height, "Roofline: GMAC/s over multiply-adds for each byte", parts);
}

/** A text from x on, or before `end` where it would pass that. */
function noteOver(text: string, x: number, y: number, end: number): string {
  const before = x + textWidth(text) > end;
  const place = `x="${(before ? end : x).toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${before ? "end" : "start"}"`;
  return `<text class="note over" ${place}>${escapeText(text)}</text>`;
}

/** A shape around (x, y), as an SVG element with what it is called. */
export function marker(
  { className, shape, title }: Pick<Point, "className" | "shape" | "title">,
  x: number,
  y: number,
): string {
  const name = `<title>${escapeText(title)}</title>`;
  if (shape === "circle") {
    return `<circle class="${className}" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="5">${name}</circle>`;
  }
  const corners = CORNERS[shape].map(([dx, dy]) => `${(x + dx).toFixed(1)},${(y + dy).toFixed(1)}`);
  return `<polygon class="${className}" points="${corners.join(" ")}">${name}</polygon>`;
}

/** 1, 2, 5, 10, ... between two powers of ten; only the powers where there are many. */
function ticks(low: number, high: number): number[] {
  const steps = high - low > 3 ? [1] : [1, 2, 5];
  const found: number[] = [];
  for (let power = Math.floor(low); power <= high; power++) {
    for (const step of steps) {
      const value = step * 10 ** power;
      if (Math.log10(value) >= low && Math.log10(value) <= high) found.push(value);
    }
  }
  return found;
}

function svg(width: number, height: number, title: string, parts: readonly string[]): string {
  return (
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeText(title)}">` + `${parts.join("\n")}</svg>`
  );
}
