import { make } from "./dom";

const POINTS = 60;
const WIDTH = 300;
const HEIGHT = 90;
const SVG = "http://www.w3.org/2000/svg";

/** A line over the last readings, with the newest value as text. */
export class Chart {
  readonly element: HTMLElement;
  private readonly values: (number | undefined)[] = [];
  private readonly line: SVGPathElement;
  private readonly picture: SVGSVGElement;
  private readonly value = make("p", { class: "value", text: "-" });
  private readonly scale = make("p", { class: "hint" });

  constructor(
    private readonly title: string,
    private readonly format: (value: number) => string,
  ) {
    this.picture = document.createElementNS(SVG, "svg");
    this.picture.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.picture.setAttribute("preserveAspectRatio", "none");
    this.picture.setAttribute("role", "img");
    this.picture.setAttribute("aria-label", title);
    this.line = document.createElementNS(SVG, "path");
    this.picture.append(this.line);
    this.element = make(
      "section",
      { class: "chart" },
      make("h2", { text: title }),
      this.value,
      this.picture,
      this.scale,
    );
  }

  /** Adds a reading; undefined where there was nothing to measure. */
  add(value: number | undefined): void {
    this.values.push(value);
    if (this.values.length > POINTS) this.values.shift();
    const known = this.values.filter((each) => each !== undefined);
    const top = Math.max(...known, 0);
    const newest = value ?? known.at(-1);
    this.value.textContent = newest === undefined ? "-" : this.format(newest);
    this.scale.textContent = known.length > 0 ? `highest ${this.format(top)}` : "";
    this.picture.setAttribute("aria-label", `${this.title}: ${this.value.textContent}, ${this.scale.textContent}`);
    this.line.setAttribute("d", this.path(top));
  }

  private path(top: number): string {
    let path = "";
    let gap = true;
    for (const [i, value] of this.values.entries()) {
      if (value === undefined) {
        gap = true;
        continue;
      }
      const x = ((POINTS - this.values.length + i) * WIDTH) / (POINTS - 1);
      const y = HEIGHT - 3 - (top > 0 ? (value / top) * (HEIGHT - 8) : 0);
      path += `${gap ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
      gap = false;
    }
    return path;
  }
}
