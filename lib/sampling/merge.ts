import type { Candidates } from "./pool";
import type { Ranked } from "./select_top";

/**
 * The front of the ranking after single logits were changed: candidates that were not changed, and changed tokens, down
 * to the last candidate's place. Behind it unlisted tokens may stand in between, so the list ends there, unless the
 * candidates are the whole vocabulary.
 *
 * @param changedIds rising, without repetition
 */
export function mergeRanked(
  { ids, logits }: Candidates,
  changedIds: Int32Array,
  changed: Float32Array,
  complete: boolean,
): Ranked {
  if (changedIds.length === 0) return { ids, logits };
  const isChanged = new Set(changedIds);
  const places = Array.from(changedIds.keys()).sort((a, b) => changed[b]! - changed[a]! || a - b);
  const length = ids.length + places.length;
  const merged = { ids: new Int32Array(length), logits: new Float32Array(length) };
  const lastId = ids[ids.length - 1]!;
  const lastLogit = logits[logits.length - 1]!;
  let at = 0;
  let candidate = 0;
  let place = 0;
  for (;;) {
    while (candidate < ids.length && isChanged.has(ids[candidate]!)) candidate++;
    const left = candidate < ids.length;
    const right = place < places.length;
    if (!left && !right) break;
    const changedId = right ? changedIds[places[place]!]! : -1;
    const changedLogit = right ? changed[places[place]!]! : -Infinity;
    if (left && !(right && isBefore(changedLogit, changedId, logits[candidate]!, ids[candidate]!))) {
      merged.ids[at] = ids[candidate]!;
      merged.logits[at++] = logits[candidate++]!;
      continue;
    }
    if (!complete && isBefore(lastLogit, lastId, changedLogit, changedId)) break;
    merged.ids[at] = changedId;
    merged.logits[at++] = changedLogit;
    place++;
  }
  return { ids: merged.ids.subarray(0, at), logits: merged.logits.subarray(0, at) };
}

/** The order of the ranking: by falling logit, equal logits by rising id. */
function isBefore(logitA: number, idA: number, logitB: number, idB: number): boolean {
  return logitA > logitB || (logitA === logitB && idA < idB);
}
