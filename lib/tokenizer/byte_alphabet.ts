/**
 * The alphabet of byte-level BPE (GPT-2): every byte has a printable character. Bytes that are printable in Latin-1
 * stand for themselves, the other 68 are numbered from U+0100 on.
 */
export const byteCharacters: readonly string[] = makeAlphabet();

const BYTE_OF = new Map(byteCharacters.map((character, byte) => [character.charCodeAt(0), byte]));

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
