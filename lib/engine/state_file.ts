import { createHash, type Hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { FileError, StateError } from "../errors";
import { writeFileAtomically } from "../files/atomic_file";
import { openRegularFile } from "../files/regular_file";
import { BLOCK_POSITIONS } from "./blocks";
import type { KvType } from "./memory";

/**
 * A file with what a sequence has in the KV cache, and what its owner wants to know of it:
 *
 *     8 bytes   "BNSTATE\0"
 *     uint32    version, 3 (1 had keys in another order, 2 those of int8)
 *     uint32    bytes of the header
 *     header    JSON (`StateHeader`), UTF-8
 *     int32     tokens, 32 for each block
 *     bytes     the blocks, one behind the other
 *     32 bytes  SHA-256 of all before
 *
 * Numbers are little-endian.
 */
const MAGIC = Buffer.from("BNSTATE\0", "latin1");
const VERSION = 3;
const HEAD_BYTES = 16;
const HASH_BYTES = 32;
/** A conversation in words; more is no header. */
const MOST_HEADER_BYTES = 64 * 2 ** 20;
/** 16 million tokens. */
const MOST_BLOCKS = 2 ** 19;

/** What a state file says before its numbers. */
export interface StateHeader {
  /** `identityOf` the model. */
  model: string;
  /** For messages. */
  modelName: string;
  kvType: KvType;
  blockBytes: number;
  /** Full blocks, from the first token on. */
  blocks: number;
  /** The owner's. */
  content: unknown;
}

/**
 * Writes a state file; the path shows the whole file or what was there before.
 * @throws FileError, StateError for a content that is too large; errors of this package that `block` throws
 */
export async function writeState(
  path: string,
  header: StateHeader,
  tokens: readonly number[],
  block: (index: number) => Uint8Array,
): Promise<void> {
  const json = Buffer.from(JSON.stringify(header));
  if (json.length > MOST_HEADER_BYTES) {
    throw new StateError(
      `The conversation has ${json.length} bytes of text; at most ${MOST_HEADER_BYTES} can be saved.`,
    );
  }
  const head = Buffer.alloc(HEAD_BYTES);
  MAGIC.copy(head);
  head.writeUInt32LE(VERSION, 8);
  head.writeUInt32LE(json.length, 12);
  const ids = Buffer.alloc(tokens.length * 4);
  for (const [i, id] of tokens.entries()) ids.writeInt32LE(id, i * 4);
  await writeFileAtomically(path, async (file) => {
    const hash = createHash("sha256");
    const write = async (bytes: Uint8Array): Promise<void> => {
      hash.update(bytes);
      await file.writeFile(bytes);
    };
    await write(head);
    await write(json);
    await write(ids);
    for (let i = 0; i < header.blocks; i++) await write(block(i));
    await file.writeFile(hash.digest());
  });
}

/** A state file that is read from its beginning to its end. */
export class StateReader {
  private constructor(
    private readonly source: Source,
    readonly header: StateHeader,
    readonly tokens: readonly number[],
  ) {}

  /** Opens a file and reads all but the blocks. @throws FileError, StateError for what is no such file or too short */
  static async open(path: string): Promise<StateReader> {
    const { handle, size } = await openRegularFile(path);
    try {
      const source = new Source(path, handle);
      if (size < HEAD_BYTES) throw notOurs(path);
      const head = await source.take(HEAD_BYTES);
      if (!head.subarray(0, MAGIC.length).equals(MAGIC)) throw notOurs(path);
      const version = head.readUInt32LE(8);
      if (version !== VERSION) {
        throw new StateError(`"${path}" has version ${version}; this version of node-bitnet reads ${VERSION}.`);
      }
      const length = head.readUInt32LE(12);
      if (length > MOST_HEADER_BYTES || length > size) throw damaged(path);
      const header = parseHeader(path, await source.take(length));
      const idBytes = header.blocks * BLOCK_POSITIONS * 4;
      // Nothing is taken in before the sizes are known to agree.
      if (size !== HEAD_BYTES + length + idBytes + header.blocks * header.blockBytes + HASH_BYTES) throw damaged(path);
      const ids = await source.take(idBytes);
      const tokens = Array.from({ length: idBytes / 4 }, (_, i) => ids.readInt32LE(i * 4));
      return new StateReader(source, header, tokens);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** The next block. */
  async block(): Promise<Uint8Array> {
    return this.source.take(this.header.blockBytes);
  }

  /** To be called when all blocks were read. @throws StateError when the file is not what was written */
  async verify(): Promise<void> {
    const actual = this.source.digest();
    if (!(await this.source.take(HASH_BYTES)).equals(actual)) throw damaged(this.source.path);
  }

  close(): Promise<void> {
    return this.source.file.close();
  }
}

/** Reads on, and sums up what was read. */
class Source {
  private readonly hash: Hash = createHash("sha256");
  private position = 0;

  constructor(
    readonly path: string,
    readonly file: FileHandle,
  ) {}

  async take(length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    for (let done = 0; done < length;) {
      const { bytesRead } = await this.file.read(bytes, done, length - done, this.position).catch((cause: unknown) => {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new FileError(`Cannot read the saved state "${this.path}": ${reason}.`, { cause });
      });
      if (bytesRead === 0) throw damaged(this.path);
      done += bytesRead;
      this.position += bytesRead;
    }
    this.hash.update(bytes);
    return bytes;
  }

  /** Of all that was taken so far. */
  digest(): Buffer {
    return this.hash.copy().digest();
  }
}

function parseHeader(path: string, json: Buffer): StateHeader {
  let header: Partial<StateHeader> | null;
  try {
    header = JSON.parse(json.toString("utf8")) as Partial<StateHeader> | null;
  } catch {
    throw damaged(path);
  }
  const { model, modelName, kvType, blockBytes, blocks } = header ?? {};
  const texts = [model, modelName, kvType].every((each) => typeof each === "string");
  const counts = [blockBytes, blocks].every((each) => Number.isSafeInteger(each) && (each ?? -1) >= 0);
  if (!texts || !counts || (blocks ?? 0) > MOST_BLOCKS) throw damaged(path);
  return header as StateHeader;
}

function notOurs(path: string): StateError {
  return new StateError(`"${path}" is no saved state of node-bitnet.`);
}

function damaged(path: string): StateError {
  return new StateError(
    `The saved state "${path}" is damaged: it is not what was written. Save the conversation again.`,
  );
}
