/** Lengths of the n-grams that are looked up, the surest first. */
const LENGTHS = [4, 3, 2] as const;
/** How likely the next guess is taken to be right before there is experience, and how many outcomes that is worth. */
const FIRST_CHANCE = 0.7;
const FIRST_OUTCOMES = 2;
/** Outcomes that are remembered: older ones fade. */
const REMEMBERED = 14;
/** Guessing must promise to be faster by this factor. */
const LEAST_GAIN = 1.03;
/** Tokens without guesses after guessing did not pay: at first, and at most. */
const FIRST_PAUSE = 32;
const LONGEST_PAUSE = 1024;
/** Right guesses after which a pause is as short as the first again. */
const TRUSTED = 16;

/** What n-grams of one length are worth. */
interface Experience {
  /** Outcomes, as far as they have not faded, and how many of them were right: of a guess, if those before it were. */
  outcomes: number;
  right: number;
  /** Length of the text up to which nothing is guessed. */
  pausedUntil: number;
  nextPause: number;
  rightSincePause: number;
}

const INEXPERIENCED = { outcomes: FIRST_OUTCOMES, right: FIRST_CHANCE * FIRST_OUTCOMES, rightSincePause: 0 };

/**
 * Guesses the next tokens as those that followed the same few tokens earlier in the text (Saxena, "Prompt lookup
 * decoding", 2023). Guesses as many as promise most tokens in the same time, by what passes cost and by how often guesses
 * were right; stops for a while, longer each time, where none pays.
 */
export class PromptLookup {
  private readonly text: number[] = [];
  /** The end of the last occurrence of each n-gram that has something behind it, by length and hash. */
  private readonly ends = LENGTHS.map(() => new Map<number, number>());
  private readonly experience = LENGTHS.map((): Experience => ({
    ...INEXPERIENCED,
    pausedUntil: 0,
    nextPause: FIRST_PAUSE,
  }));
  /** Where the last guesses came from. */
  private used: Experience | undefined;
  /** Over the whole text. */
  draftTokens = 0;
  acceptedDrafts = 0;

  push(token: number): void {
    const { text, ends } = this;
    for (const [i, length] of LENGTHS.entries()) {
      if (text.length >= length) ends[i]?.set(this.hash(text.length, length), text.length);
    }
    text.push(token);
  }

  /** Whether nothing is guessed for the next two tokens at least, whatever they are. */
  get pausing(): boolean {
    return this.experience.every(({ pausedUntil }) => pausedUntil > this.text.length + 1);
  }

  /**
   * Up to `most` tokens that may follow; often none.
   * @param cost what a pass with so many guesses costs beside one without
   */
  drafts(most: number, cost: (drafts: number) => number): readonly number[] {
    if (most < 1) return [];
    const { text, ends } = this;
    for (const [i, length] of LENGTHS.entries()) {
      const experience = this.experience[i];
      if (!experience || text.length < length || experience.pausedUntil > text.length) continue;
      const end = ends[i]?.get(this.hash(text.length, length));
      if (end === undefined || !this.isSame(end, length)) continue;
      const count = bestCount(experience.right / experience.outcomes, most, cost);
      if (count === 0) {
        this.pause(experience);
        continue;
      }
      this.used = experience;
      // Behind the text's end come the guesses themselves: what repeats with a short period goes on to.
      const guesses: number[] = [];
      for (let at = end; guesses.length < count; at++) guesses.push(text[at] ?? guesses[at - text.length] ?? 0);
      return guesses;
    }
    return [];
  }

  /** Notes how many of the last guesses were right. */
  judge(accepted: number, drafts: number): void {
    this.draftTokens += drafts;
    this.acceptedDrafts += accepted;
    const { used } = this;
    if (!used) return;
    for (let i = 0; i < accepted; i++) learn(used, 1);
    if (accepted < drafts) learn(used, 0);
    used.rightSincePause += accepted;
    if (used.rightSincePause >= TRUSTED) used.nextPause = FIRST_PAUSE;
  }

  /** After it the same chance is given again. */
  private pause(experience: Experience): void {
    experience.pausedUntil = this.text.length + experience.nextPause;
    experience.nextPause = Math.min(experience.nextPause * 2, LONGEST_PAUSE);
    Object.assign(experience, INEXPERIENCED);
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

function learn(experience: Experience, right: 0 | 1): void {
  const kept = Math.min(1, REMEMBERED / (experience.outcomes + 1));
  experience.outcomes = kept * (experience.outcomes + 1);
  experience.right = kept * (experience.right + right);
}

/** How many guesses give most tokens for their cost; 0: none pay. */
function bestCount(chance: number, most: number, cost: (drafts: number) => number): number {
  let best = 0;
  let bestGain = LEAST_GAIN;
  let tokens = 1;
  let reached = 1;
  for (let count = 1; count <= most; count++) {
    reached *= chance;
    tokens += reached;
    const gain = tokens / cost(count);
    if (gain > bestGain) [best, bestGain] = [count, gain];
  }
  return best;
}
