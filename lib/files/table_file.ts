import { createHash, type Hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { writeFileAtomically } from "./atomic_file";

/** Arrays of numbers by name. */
export type Tables = ReadonlyMap<string, Table>;
/** One of them. */
export type Table = Uint8Array | Int32Array | Uint32Array;

const MAGIC = "node-bitnet tables 1";
/** Each table begins at a multiple of this many bytes. */
const ALIGNMENT = 8;
/** Bytes hashed at a time: about a millisecond. */
const PORTION = 2 ** 21;

const KINDS = { u8: Uint8Array, i32: Int32Array, u32: Uint32Array } as const;

interface Header {
  magic: string;
  /** What the tables were made from. */
  key: string;
  byteOrder: string;
  /** SHA-256 of everything behind the header. */
  hash: string;
  tables: [name: string, kind: keyof typeof KINDS, offset: number, length: number][];
}

/** Writes tables that `readTables` gives back for the same key. @throws FileError */
export async function writeTables(path: string, key: string, tables: Tables): Promise<void> {
  const entries: Header["tables"] = [];
  const parts: Buffer[] = [];
  let offset = 0;
  for (const [name, table] of tables) {
    entries.push([name, kindOf(table), offset, table.length]);
    const bytes = Buffer.from(table.buffer, table.byteOffset, table.byteLength);
    const padding = -bytes.length & (ALIGNMENT - 1);
    parts.push(bytes, Buffer.alloc(padding));
    offset += bytes.length + padding;
  }
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  const header: Header = { magic: MAGIC, key, byteOrder: order(), hash: hash.digest("hex"), tables: entries };
  const text = JSON.stringify(header);
  // Spaces, so that what follows the line break is aligned.
  const line = `${text}${" ".repeat(-(Buffer.byteLength(text) + 1) & (ALIGNMENT - 1))}\n`;
  await writeFileAtomically(path, async (handle) => {
    await handle.writeFile(line);
    for (const part of parts) await handle.writeFile(part);
  });
}

/**
 * The tables of a file, as views into one buffer. Undefined where there are none to be used: no file, one that is damaged,
 * of another version, or made for another key.
 * @param pause called between portions of work
 */
export async function readTables(path: string, key: string, pause: () => Promise<void>): Promise<Tables | undefined> {
  try {
    const file = await readFile(path);
    const end = file.indexOf("\n") + 1;
    const header = JSON.parse(file.toString("utf8", 0, end)) as Header;
    if (header.magic !== MAGIC || header.key !== key || header.byteOrder !== order()) return undefined;
    const hash = createHash("sha256");
    await hashInPortions(hash, file.subarray(end), pause);
    if (hash.digest("hex") !== header.hash) return undefined;
    return new Map(
      header.tables.map(([name, kind, offset, length]) => {
        return [name, new KINDS[kind](file.buffer, file.byteOffset + end + offset, length)];
      }),
    );
  } catch {
    return undefined;
  }
}

/** Hashes many bytes. @param pause called behind each portion */
export async function hashInPortions(hash: Hash, bytes: Uint8Array, pause: () => Promise<void>): Promise<void> {
  for (let at = 0; at < bytes.length; at += PORTION) {
    hash.update(bytes.subarray(at, at + PORTION));
    await pause();
  }
}

function kindOf(table: Table): keyof typeof KINDS {
  if (table instanceof Uint8Array) return "u8";
  return table instanceof Int32Array ? "i32" : "u32";
}

function order(): string {
  return new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? "little" : "big";
}
