import type { Slicer } from "./slices";

const PORTION = 2048;

/** A list that hands out portions of itself. */
interface Sliceable<T> {
  readonly length: number;
  slice(start: number, end: number): T[];
}

/** Writes a large JSON text as UTF-8 in portions, so that no single step holds the event loop for long. */
export class JsonWriter {
  readonly chunks: Uint8Array[] = [];

  constructor(private readonly slicer: Slicer) {}

  write(json: string): void {
    // A view of Buffer's shared pool could not cross to another thread by itself, hence the plain copy.
    this.chunks.push(new TextEncoder().encode(json));
  }

  /** Writes items separated by commas, without brackets. */
  async writeAll<T>(items: Sliceable<T>, toJson: (item: T, index: number) => string): Promise<void> {
    for (let start = 0; start < items.length; start += PORTION) {
      const portion = items.slice(start, start + PORTION).map((item, i) => toJson(item, start + i));
      this.write((start === 0 ? "" : ",") + portion.join(","));
      await this.slicer.pause();
    }
  }
}
