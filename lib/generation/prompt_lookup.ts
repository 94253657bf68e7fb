/** Lengths of the n-grams that are looked up, the surest first. */
const LENGTHS = [4, 3, 2] as const;
const MOST_DRAFTS = 8;
/** Guesses after which their worth is judged, and the share of right ones below which they cost more than they save. */
const TRIAL = 16;
const LEAST_RIGHT = 0.5;
const LONGEST_PAUSE = 1024;

/**
 * Guesses the next tokens as those that followed the same few tokens earlier in the text (Saxena, "Prompt lookup
 * decoding", 2023). Stops guessing for a while, longer each time, where too few guesses were right.
 */
export class PromptLookup {
  private readonly text: number[] = [];
  /** The end of the last occurrence of each n-gram that has something behind it, by length and hash. */
  private readonly ends = LENGTHS.map(() => new Map<number, number>());
  private most = 4;
  private recentRight = 0;
  private recentDrafts = 0;
  private pause = 0;
  private nextPause = 32;
  /** Over the whole text. */
  draftTokens = 0;
  acceptedDrafts = 0;

  push(token: number): void {
    const { text, ends } = this;
    for (const [i, length] of LENGTHS.entries()) {
      if (text.length >= length) ends[i]?.set(this.hash(text.length, length), text.length);
    }
    text.push(token);
    if (this.pause > 0) this.pause--;
  }

  /** Up to `most` tokens that may follow; often none. */
  drafts(most: number): readonly number[] {
    if (this.pause > 0 || most < 1) return [];
    const { text, ends } = this;
    for (const [i, length] of LENGTHS.entries()) {
      if (text.length < length) continue;
      const end = ends[i]?.get(this.hash(text.length, length));
      if (end === undefined || !this.isSame(end, length)) continue;
      return text.slice(end, end + Math.min(most, this.most));
    }
    return [];
  }

  /** Notes how many of the guesses were right. */
  judge(accepted: number, drafts: number): void {
    this.draftTokens += drafts;
    this.acceptedDrafts += accepted;
    this.most = accepted === drafts ? Math.min(this.most + 2, MOST_DRAFTS) : Math.max(accepted + 1, 2);
    this.recentRight += accepted;
    this.recentDrafts += drafts;
    if (this.recentDrafts < TRIAL) return;
    if (this.recentRight < LEAST_RIGHT * this.recentDrafts) {
      this.pause = this.nextPause;
      this.nextPause = Math.min(this.nextPause * 2, LONGEST_PAUSE);
    } else this.nextPause = 32;
    this.recentRight = 0;
    this.recentDrafts = 0;
  }

  private hash(end: number, length: number): number {
    let hash = 0;
    for (let i = end - length; i < end; i++) hash = Math.imul(hash ^ ((this.text[i] ?? 0) + 0x9e3779b9), 0x85ebca6b);
    return hash;
  }

  /** Hashes may collide. */
  private isSame(end: number, length: number): boolean {
    const { text } = this;
    for (let i = 1; i <= length; i++) if (text[end - i] !== text[text.length - i]) return false;
    return true;
  }
}
