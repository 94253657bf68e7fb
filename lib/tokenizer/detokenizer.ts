import type { TokenTable } from "./token_table";
import type { DecodeOptions, Detokenizer } from "./types";
import { completeLength } from "./utf8";

// A byte order mark inside generated text is a character like any other.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const SPACE = 0x20;

/** `Detokenizer` over a table of bytes: holds back at most the three bytes of an unfinished character. */
export class TableDetokenizer implements Detokenizer {
  private held = new Uint8Array(0);
  private atStart = true;
  private readonly skipSpecial: boolean;
  private readonly stripsSpace: boolean;

  /** @param stripLeadingSpace whether the vocabulary puts a space in front of every text */
  constructor(
    private readonly table: TokenTable,
    stripLeadingSpace: boolean,
    options: DecodeOptions = {},
  ) {
    this.skipSpecial = options.skipSpecial ?? true;
    this.stripsSpace = stripLeadingSpace && !(options.continuation ?? false);
  }

  push(id: number): string {
    if (this.skipSpecial && this.table.isControl(id)) return "";
    return this.pushBytes(this.table.bytes(id));
  }

  flush(): string {
    const rest = decoder.decode(this.held);
    this.held = new Uint8Array(0);
    this.atStart = true;
    return rest;
  }

  private pushBytes(added: Uint8Array): string {
    if (added.length === 0) return "";
    let bytes = added;
    if (this.atStart) {
      this.atStart = false;
      if (this.stripsSpace && bytes[0] === SPACE) bytes = bytes.subarray(1);
    }
    if (this.held.length > 0) {
      const joined = new Uint8Array(this.held.length + bytes.length);
      joined.set(this.held);
      joined.set(bytes, this.held.length);
      bytes = joined;
    }
    const complete = completeLength(bytes);
    this.held = bytes.slice(complete);
    return complete === 0 ? "" : decoder.decode(bytes.subarray(0, complete));
  }
}
