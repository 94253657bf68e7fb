import { InvalidOptionError } from "../errors";
import { TableDetokenizer } from "./detokenizer";
import { SpecialSplitter, type AddedToken, type Segment } from "./special_splitter";
import { TokenFloor, type FloorRules } from "./token_floor";
import type { TokenTable } from "./token_table";
import type { DecodeOptions, Detokenizer, EncodeOptions, Tokenizer } from "./types";

/** What turns plain text into ids; it knows no added tokens. */
export interface PlainEncoder {
  /** Ids of each text, with nothing added. Rejects with `ClosedError` once closed. */
  encode(texts: string[]): Promise<Int32Array[]>;
  /** Idempotent; calls under way reject. */
  close(): void;
}

/** Everything a tokenizer consists of, however its file was written. */
export interface TokenizerParts {
  table: TokenTable;
  encoder: PlainEncoder;
  addedTokens: AddedToken[];
  bosId?: number | undefined;
  eosIds: number[];
  /** Ids that belong in front of every text and behind it. */
  prefixIds: number[];
  suffixIds: number[];
  /** Whether decoding takes away one space at the start of a text. */
  stripLeadingSpace: boolean;
  /** Whether a space belongs in front of the text's very start (but not of what follows an added token). */
  spaceAtStart?: boolean;
  /** What bounds the tokens of a text from below; absent: nothing is known to. */
  floor?: FloorRules | undefined;
}

/** The `Tokenizer` over a table of bytes and an encoder. */
export class TableTokenizer implements Tokenizer {
  readonly vocabularySize: number;
  readonly bosId?: number;
  readonly eosIds: readonly number[];
  readonly addBos: boolean;
  private readonly splitter: SpecialSplitter;
  private readonly floor: TokenFloor | undefined;

  constructor(private readonly parts: TokenizerParts) {
    this.vocabularySize = parts.table.size;
    if (parts.bosId !== undefined) this.bosId = parts.bosId;
    this.eosIds = [...new Set(parts.eosIds)];
    this.addBos = parts.bosId !== undefined && parts.prefixIds.includes(parts.bosId);
    this.splitter = new SpecialSplitter(parts.addedTokens);
    this.floor = parts.floor && TokenFloor.of(parts.table, parts.floor);
  }

  async encode(text: string, options: EncodeOptions = {}): Promise<Int32Array> {
    if (typeof text !== "string") throw new InvalidOptionError(`encode needs a string, not ${typeof text}`);
    const { addSpecial = true } = options;
    const { segments, texts } = this.split(text, options);
    const encoded = texts.length > 0 ? await this.parts.encoder.encode(texts) : [];
    let next = 0;
    const ids: number[] = [];
    for (const segment of segments) {
      if ("id" in segment) ids.push(segment.id);
      else for (const id of encoded[next++] ?? []) ids.push(id);
    }
    return addSpecial ? this.withSpecial(ids) : Int32Array.from(ids);
  }

  fewestTokens(text: string, options: EncodeOptions = {}): number {
    const { segments, texts } = this.split(text, options);
    const { floor } = this;
    return texts.reduce((sum, each) => sum + (floor?.fewest(each) ?? 0), segments.length - texts.length);
  }

  decode(ids: Iterable<number>, options?: DecodeOptions): string {
    const detokenizer = this.createDetokenizer(options);
    let text = "";
    for (const id of ids) text += detokenizer.push(id);
    return text + detokenizer.flush();
  }

  createDetokenizer(options?: DecodeOptions): Detokenizer {
    return new TableDetokenizer(this.parts.table, this.parts.stripLeadingSpace, options);
  }

  tokenBytes(id: number): Uint8Array {
    return this.parts.table.bytes(id);
  }

  isSpecial(id: number): boolean {
    return this.parts.table.isControl(id);
  }

  idOf(text: string): number | undefined {
    const added = this.parts.addedTokens.find((token) => token.special && token.content === text);
    return added?.id ?? this.parts.table.find(text);
  }

  guardSpecial(text: string, guard: string): string {
    if (guard.length !== 1 || text.includes(guard)) {
      throw new InvalidOptionError("guard must be one UTF-16 unit that does not occur in the text");
    }
    return this.splitter.guard(text, guard);
  }

  close(): void {
    this.parts.encoder.close();
  }

  /** The added tokens of a text, and the texts between them as they are encoded. */
  private split(text: string, options: EncodeOptions): { segments: Segment[]; texts: string[] } {
    const { parseSpecial = false, guard } = options;
    const segments = this.splitter.split(text, parseSpecial, guard);
    const texts: string[] = [];
    for (const segment of segments) if ("text" in segment) texts.push(this.plain(segment.text, segment.start, guard));
    return { segments, texts };
  }

  private plain(text: string, start: number, guard: string | undefined): string {
    const bare = guard === undefined ? text : text.replaceAll(guard, "");
    const needsSpace = this.parts.spaceAtStart === true && start === 0 && !/^[ \u2581]/.test(bare);
    return needsSpace && bare !== "" ? ` ${bare}` : bare;
  }

  private withSpecial(ids: number[]): Int32Array {
    const { prefixIds, suffixIds } = this.parts;
    const hasPrefix = prefixIds.length > 0 && prefixIds.every((id, i) => ids[i] === id);
    const hasSuffix = suffixIds.length > 0 && suffixIds.every((id, i) => ids[ids.length - suffixIds.length + i] === id);
    return Int32Array.from([...(hasPrefix ? [] : prefixIds), ...ids, ...(hasSuffix ? [] : suffixIds)]);
  }
}
