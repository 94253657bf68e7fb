import type { Trigger } from "./form";

/** What `TriggerSearch.push` found. */
export interface TriggerMatch {
  /** Text that is certainly no part of a trigger. */
  text: string;
  /** From the trigger on, where one came. */
  found?: string;
}

/** Finds the first trigger in a text that comes in pieces, and holds back what may be the beginning of one. */
export class TriggerSearch {
  private held = "";
  private blank = true;

  constructor(private readonly triggers: readonly Trigger[]) {}

  push(piece: string): TriggerMatch {
    const text = this.held + piece;
    let first = -1;
    for (const trigger of this.triggers) {
      const at = this.find(text, trigger);
      if (at >= 0 && (first < 0 || at < first)) first = at;
    }
    if (first >= 0) {
      this.held = "";
      this.blank = false;
      return { text: text.slice(0, first), found: text.slice(first) };
    }
    const kept = this.beginningAtEnd(text);
    const sure = text.slice(0, text.length - kept);
    this.held = text.slice(sure.length);
    this.blank &&= sure.trim() === "";
    return { text: sure };
  }

  /** What is held back; to be called when the text is over. */
  flush(): string {
    const { held } = this;
    this.held = "";
    return held;
  }

  private find(text: string, trigger: Trigger): number {
    const at = text.indexOf(trigger.text);
    return at >= 0 && this.mayStart(text, at, trigger) ? at : -1;
  }

  private mayStart(text: string, at: number, { atStart }: Trigger): boolean {
    return !atStart || (this.blank && text.slice(0, at).trim() === "");
  }

  /** Length of the longest end of `text` that is the beginning of a trigger. */
  private beginningAtEnd(text: string): number {
    let longest = 0;
    for (const trigger of this.triggers) {
      for (let length = Math.min(trigger.text.length - 1, text.length); length > longest; length--) {
        const at = text.length - length;
        if (text.endsWith(trigger.text.slice(0, length)) && this.mayStart(text, at, trigger)) longest = length;
      }
    }
    return longest;
  }
}
