import { fromNative, StateError } from "../errors";
import { BLOCK_POSITIONS } from "./blocks";
import type { ModelInfo } from "./engine";
import type { Scheduler } from "./scheduler";
import { Sequence } from "./sequence";
import { StateReader, writeState } from "./state_file";

/** What a state belongs to. */
export interface StateModel {
  /** `identityOf` the model. */
  identity: string;
  /** Of a block of its KV cache. */
  blockBytes: number;
  info: ModelInfo;
}

/**
 * Writes the full blocks that the cache has of a sequence to a file, with what its owner wants to know of it. What the
 * cache does not have is computed again when the sequence goes on.
 * @param content JSON
 * @throws FileError, StateError for a content that is too large, ClosedError when the model is closed meanwhile
 */
export async function saveSequence(
  scheduler: Scheduler,
  { identity, blockBytes, info }: StateModel,
  path: string,
  sequence: Sequence,
  content: unknown,
): Promise<void> {
  await scheduler.untilIdle(sequence);
  const held = scheduler.pool.snapshot(sequence);
  const blocks = held?.blocks ?? 0;
  const tokens = sequence.tokens.slice(0, blocks * BLOCK_POSITIONS);
  const header = {
    model: identity,
    modelName: info.name ?? info.path,
    kvType: info.kvType,
    blockBytes,
    blocks,
    content,
  };
  try {
    await writeState(path, header, tokens, (index) => held?.read(index) ?? new Uint8Array(0));
  } finally {
    held?.drop();
  }
}

/**
 * Reads a file of `saveSequence`: a sequence with as much in the cache as there is room for. What there is no room for is
 * computed again when it is needed.
 * @throws FileError, StateError for a file that is damaged or of another model or kvType, ClosedError
 */
export async function restoreSequence(
  scheduler: Scheduler,
  model: StateModel,
  path: string,
): Promise<{ sequence: Sequence; content: unknown }> {
  const reader = await StateReader.open(path);
  const sequence = new Sequence();
  const { pool } = scheduler;
  try {
    checkHeader(path, reader, model);
    pool.open(sequence);
    const most = Math.floor(model.info.contextLength / BLOCK_POSITIONS);
    let restored = 0;
    for (let i = 0; i < reader.header.blocks; i++) {
      const bytes = await reader.block();
      if (restored < i || i >= most) continue;
      // Others may have taken the cache away meanwhile.
      if (scheduler.makeRoom(sequence) && pool.append(sequence, bytes)) restored++;
    }
    await reader.verify();
    // Only now, that it is known to be right, others may share it.
    if (sequence.native !== undefined) {
      const length = restored * BLOCK_POSITIONS;
      sequence.replaceTokens(reader.tokens.slice(0, length), length);
    }
    return { sequence, content: reader.header.content };
  } catch (error) {
    scheduler.release(sequence);
    throw fromNative(error);
  } finally {
    await reader.close();
  }
}

function checkHeader(path: string, { header, tokens }: StateReader, { identity, blockBytes, info }: StateModel): void {
  const { model, modelName, kvType } = header;
  if (model !== identity) {
    throw new StateError(`"${path}" was saved with another model, "${modelName}"; load that to go on.`);
  }
  if (kvType !== info.kvType) {
    throw new StateError(
      `"${path}" was saved with kvType "${kvType}", but the model was loaded with "${info.kvType}"; load it with the same.`,
    );
  }
  if (header.blockBytes !== blockBytes || tokens.some((id) => id < 0 || id >= info.vocabularySize)) {
    throw new StateError(`The saved state "${path}" does not fit the model that it names.`);
  }
}
