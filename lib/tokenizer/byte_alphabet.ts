/**
 * The alphabet of byte-level BPE (GPT-2): every byte has a printable character. Bytes that are printable in Latin-1
 * stand for themselves, the other 68 are numbered from U+0100 on.
 */
export const byteCharacters: readonly string[] = makeAlphabet();

const BYTE_OF = new Map(byteCharacters.map((character, byte) => [character.charCodeAt(0), byte]));

/** The byte of each character below U+0200; -1: outside of the alphabet. */
const BYTE_BY_CODE = Int16Array.from({ length: 0x200 }, (_, code) => BYTE_OF.get(code) ?? -1);

function makeAlphabet(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

/** The bytes that a piece in the byte-level alphabet stands for; undefined if a character is outside of it. */
export function bytesOfPiece(piece: string): Uint8Array | undefined {
  const bytes = new Uint8Array(piece.length);
  for (let i = 0; i < piece.length; i++) {
    const byte = BYTE_OF.get(piece.charCodeAt(i));
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}

/**
 * The same for a piece in UTF-8, source[start..end), into `out`: how many bytes it is; -1 if a character is outside of the
 * alphabet or there is no room.
 */
export function writePiece(source: Uint8Array, start: number, end: number, out: Uint8Array): number {
  if (end - start > out.length) return -1;
  let size = 0;
  for (let i = start; i < end; i++) {
    const first = source[i] ?? 0;
    // The alphabet ends at U+0143: one byte, or two of which the first is 0xc2 to 0xc5.
    let code = first;
    if (first >= 0x80) {
      if (first >= 0xc8 || ++i === end) return -1;
      code = ((first & 0x1f) << 6) | ((source[i] ?? 0) & 0x3f);
    }
    const byte = BYTE_BY_CODE[code] ?? -1;
    if (byte < 0) return -1;
    out[size++] = byte;
  }
  return size;
}
