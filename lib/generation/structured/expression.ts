/** A language of byte strings; made by the regular expression and JSON schema compilers. */
export type Expression =
  | { readonly kind: "bytes"; readonly set: ReadonlySet<number> }
  | { readonly kind: "sequence"; readonly parts: readonly Expression[] }
  | { readonly kind: "choice"; readonly options: readonly Expression[] }
  | { readonly kind: "repeat"; readonly inner: Expression; readonly least: number; readonly most: number }
  /** What the function gives, when it is reached: languages may contain themselves. */
  | { readonly kind: "rule"; readonly body: () => Expression };

/** Exactly this text, as UTF-8. */
export function literal(text: string): Expression {
  return { kind: "sequence", parts: Array.from(Buffer.from(text), (byte) => (SINGLE[byte] ??= bytes([byte]))) };
}

/** One object for each byte: languages are full of them. */
const SINGLE: Expression[] = [];

/** No text at all, not even the empty one. */
export const nothing: Expression = { kind: "bytes", set: new Set() };

/** One byte of a few. */
export function bytes(values: Iterable<number>): Expression {
  return { kind: "bytes", set: new Set(values) };
}

export function sequence(...parts: Expression[]): Expression {
  return { kind: "sequence", parts };
}

/** One of several; `nothing` where there are none. Lists of any length are given to `choiceOf`. */
export function choice(...options: Expression[]): Expression {
  return choiceOf(options);
}

/** The same for a list, which may be longer than the arguments of a function. */
export function choiceOf(options: readonly Expression[]): Expression {
  const [only] = options;
  return only && options.length === 1 ? only : { kind: "choice", options };
}

/** @param most Infinity for any number */
export function repeat(inner: Expression, least: number, most: number): Expression {
  return { kind: "repeat", inner, least, most };
}

export function optional(inner: Expression): Expression {
  return repeat(inner, 0, 1);
}

/** The bytes from `first` to `last`. */
export function range(first: number, last: number): number[] {
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => first + i);
}

const tail = bytes(range(0x80, 0xbf));

/** Any character beyond ASCII as well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates. */
export const beyondAscii: Expression = choice(
  sequence(bytes(range(0xc2, 0xdf)), tail),
  sequence(bytes([0xe0]), bytes(range(0xa0, 0xbf)), tail),
  sequence(bytes([...range(0xe1, 0xec), 0xee, 0xef]), tail, tail),
  sequence(bytes([0xed]), bytes(range(0x80, 0x9f)), tail),
  sequence(bytes([0xf0]), bytes(range(0x90, 0xbf)), tail, tail),
  sequence(bytes(range(0xf1, 0xf3)), tail, tail, tail),
  sequence(bytes([0xf4]), bytes(range(0x80, 0x8f)), tail, tail),
);
