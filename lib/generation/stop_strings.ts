/** What `StopStrings.push` found. */
export interface StopSearch {
  /** Text that is certainly not part of a stop string. */
  text: string;
  /** The stop string that ended the text. */
  found?: string;
}

/**
 * Finds the first of several strings in a text that comes in pieces, and holds back what may be the beginning of one.
 * The string that is complete first wins, the longer one where two are complete at once: so the result does not depend
 * on how the text was cut into pieces.
 */
export class StopStrings {
  private held = "";

  constructor(private readonly stops: readonly string[]) {}

  push(piece: string): StopSearch {
    const text = this.held + piece;
    const match = this.firstMatch(text);
    if (match) {
      this.held = "";
      return { text: text.slice(0, match.start), found: match.stop };
    }
    const kept = this.beginningAtEnd(text);
    this.held = text.slice(text.length - kept);
    return { text: text.slice(0, text.length - kept) };
  }

  /** What is held back; to be called when the text is over. */
  flush(): string {
    const { held } = this;
    this.held = "";
    return held;
  }

  private firstMatch(text: string): { start: number; stop: string } | undefined {
    let first: { start: number; stop: string } | undefined;
    for (const stop of this.stops) {
      const start = text.indexOf(stop);
      if (start < 0) continue;
      const lead = first ? first.start + first.stop.length - (start + stop.length) : 1;
      if (lead > 0 || (lead === 0 && start < (first?.start ?? 0))) first = { start, stop };
    }
    return first;
  }

  /** Length of the longest end of `text` that is the beginning of a stop string. */
  private beginningAtEnd(text: string): number {
    let longest = 0;
    for (const stop of this.stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
