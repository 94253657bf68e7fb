import { touchPacked, vocabularyPath } from "../files/packed_folder";
import { readTables, writeTables, type Tables } from "../files/table_file";
import { Slicer, type Tokenizer } from "../tokenizer";
import type { OpenedModel } from "./open";
import { CacheFileKeeper, type CacheWork } from "./packed_cache";

/** A tokenizer, and the writing of its tables where that is still to be done. */
export interface CachedTokenizer {
  tokenizer: Tokenizer;
  cacheWork?: CacheWork;
}

/**
 * Makes a model's tokenizer from what an earlier load left in the folder of packed weights. A file that is absent, damaged
 * or of another vocabulary or version is of no use and no error: the tables are made then, and written later.
 */
export async function cachedTokenizer(
  { makeTokenizer, vocabularyKey }: Pick<OpenedModel, "makeTokenizer" | "vocabularyKey">,
  folder: string | undefined,
  version: string,
): Promise<CachedTokenizer> {
  if (folder === undefined || !vocabularyKey) return { tokenizer: await makeTokenizer() };
  const vocabulary = await vocabularyKey();
  const key = `node-bitnet ${version} vocabulary ${vocabulary}`;
  const path = vocabularyPath(folder, vocabulary.slice(0, 32));
  const slicer = new Slicer();
  const tables = await readTables(path, key, () => slicer.pause());
  if (tables) {
    try {
      const tokenizer = await makeTokenizer({ tables });
      void touchPacked(path);
      return { tokenizer };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  let made: Tables | undefined;
  const tokenizer = await makeTokenizer({ keep: (kept) => (made = kept) });
  return made ? { tokenizer, cacheWork: keepTables(path, key, made) } : { tokenizer };
}

function keepTables(path: string, key: string, tables: Tables): CacheWork {
  const bytes = [...tables.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  return new CacheFileKeeper({
    path,
    what: "A vocabulary's tables",
    bytes,
    write: () => writeTables(path, key, tables),
  });
}
