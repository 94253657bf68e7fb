/**
 * TL1 and TL2 bytes of ternary codes (-1, 0, 1), written from the layouts' definitions: the tensor is taken apart tile by tile,
 * in the order in which bytes lie in the file.
 */

/** Sizes of the tiles that a writer of these files was built for. */
export interface Tiles {
  /** Rows and columns of a tile. */
  bm: number;
  bk: number;
  /** Rows that stand together within it. TL2: 32. */
  inner: number;
}

/** Bytes of codes [rows][columns] as TL1: pairs of neighbouring columns, two to a byte. */
export function tl1Bytes(codes: Int8Array, columns: number, scale: number, { bm, bk, inner }: Tiles): Buffer {
  const rows = codes.length / columns;
  const width = 256 / inner;
  const bytes = Buffer.alloc(codes.length / 4 + 32);
  const pair = (row: number, k: number): number => 3 * codes[row * columns + k]! + codes[row * columns + k + 1]! + 4;
  let at = 0;
  for (let tile = 0; tile < rows; tile += bm) {
    for (let panel = 0; panel < columns; panel += bk) {
      for (let block = tile; block < tile + bm; block += inner) {
        for (let strip = panel; strip < panel + bk; strip += width) {
          for (let sixteen = block; sixteen < block + inner; sixteen += 16) {
            for (let k = strip; k < strip + width; k += 4) {
              for (let row = sixteen; row < sixteen + 16; row++) bytes[at++] = (pair(row, k) << 4) | pair(row, k + 2);
            }
          }
        }
      }
    }
  }
  if (at !== codes.length / 4) throw new Error(`TL1: ${at} bytes of ${codes.length / 4}`);
  bytes.writeFloatLE(scale, at);
  return bytes;
}

/** Rows of 32 in the order in which TL2 stores them. */
const ORDER = [0, 16, 8, 24].flatMap((first) => Array.from({ length: 8 }, (_, i) => first + i));

/** Bytes of codes [rows][columns] as TL2: triples with their signs apart, and pairs for the columns that are left. */
export function tl2Bytes(codes: Int8Array, columns: number, scale: number, { bm, bk }: Tiles): Buffer {
  const rows = codes.length / columns;
  const three = Math.floor(columns / bk) * bk;
  const reserved = Math.floor((Math.floor(((columns - 256) * rows) / 3) * 5) / 8) + 64 * rows;
  const end = Math.ceil(reserved / 32) * 32;
  const bytes = Buffer.alloc(end + 32);
  const code = (row: number, k: number): number => codes[row * columns + k]!;
  const triple = (row: number, k: number): number => 9 * code(row, k) + 3 * code(row, k + 1) + code(row, k + 2);
  const pair = (row: number, k: number): number => 3 * code(row, k) + code(row, k + 1) + 4;
  /** Visits blocks of 32 rows and `step` columns from `from` to `to`, in tiles of bm rows and `width` columns. */
  const blocks = (
    from: number,
    to: number,
    width: number,
    step: number,
    visit: (row: number, k: number) => void,
  ): void => {
    for (let tile = 0; tile < rows; tile += bm) {
      for (let panel = from; panel < to; panel += width) {
        for (let row = tile; row < tile + bm; row += 32) {
          for (let k = panel; k < panel + width; k += step) visit(row, k);
        }
      }
    }
  };
  let at = 0;
  blocks(0, three, bk, 6, (row, k) => {
    for (const r of ORDER) bytes[at++] = (Math.abs(triple(row + r, k)) << 4) | Math.abs(triple(row + r, k + 3));
  });
  blocks(0, three, bk, 24, (row, k) => {
    for (let column = 0; column < 16; column++, at += 2) {
      let word = 0;
      for (let t = 0; t < 8; t++) {
        for (const half of [0, 1]) word = (word << 1) | Number(triple(row + 16 * half + column, k + 3 * t) < 0);
      }
      bytes.writeUInt16LE(word, at);
    }
  });
  blocks(three, columns, 32, 4, (row, k) => {
    for (const r of ORDER) bytes[at++] = (pair(row + r, k) << 4) | pair(row + r, k + 2);
  });
  bytes.writeFloatLE(scale, end);
  return bytes;
}
