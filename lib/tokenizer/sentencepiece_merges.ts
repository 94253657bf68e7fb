import { type Slicer, sortInSlices } from "./slices";

/** Two neighbouring pieces that become one. */
export type Merge = [left: string, right: string];

/**
 * The merges that a SentencePiece BPE vocabulary implies: SentencePiece joins the two neighbours whose union has the
 * highest score, so every way to cut a piece into two pieces is a merge with the piece's score as priority.
 *
 * Cuts of one piece have one priority; among them the order is that of their pieces' ids, as in the conversions that
 * models on Hugging Face come with.
 *
 * @param pieces joinable pieces in the order of their ids, with their scores
 * @param idOf the id of a string that may stand on one side of a merge, else undefined
 */
export async function mergesFromScores(
  pieces: readonly { text: string; score: number }[],
  idOf: (text: string) => number | undefined,
  slicer: Slicer,
): Promise<Merge[]> {
  const order = [...pieces];
  // By falling score; the sort is stable, so equal scores keep the order of their ids.
  await sortInSlices(order, (a, b) => b.score - a.score, slicer);
  const merges: Merge[] = [];
  for (const { text } of order) {
    await slicer.pause();
    const cuts: { merge: Merge; leftId: number; rightId: number }[] = [];
    for (let cut = 1; cut < text.length; cut++) {
      const left = text.slice(0, cut);
      const leftId = idOf(left);
      if (leftId === undefined) continue;
      const right = text.slice(cut);
      const rightId = idOf(right);
      if (rightId !== undefined) cuts.push({ merge: [left, right], leftId, rightId });
    }
    cuts.sort((a, b) => a.leftId - b.leftId || a.rightId - b.rightId);
    for (const { merge } of cuts) merges.push(merge);
  }
  return merges;
}
