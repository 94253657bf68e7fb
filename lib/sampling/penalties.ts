import { Dry } from "./dry";
import { logitBias } from "./logit_bias";
import { OccurrencePenalties } from "./occurrence_penalties";
import type { ResolvedSamplingOptions } from "./options";
import type { Penalty } from "./penalty";
import { RepetitionPenalty } from "./repetition_penalty";

/** The penalties that the options ask for, in order: the bias has the last word, as in OpenAI's interface. */
function makePenalties(options: ResolvedSamplingOptions): Penalty[] {
  const { repetitionPenalty, repetitionLastN, frequencyPenalty, presencePenalty } = options;
  const penalties: Penalty[] = [];
  if (repetitionPenalty !== 1 && repetitionLastN !== 0) {
    penalties.push(new RepetitionPenalty(repetitionPenalty, repetitionLastN));
  }
  if (frequencyPenalty !== 0 || presencePenalty !== 0) {
    penalties.push(new OccurrencePenalties(frequencyPenalty, presencePenalty));
  }
  if (options.dryMultiplier !== 0 && options.dryLastN !== 0) penalties.push(new Dry(options));
  if (options.logitBias.size > 0) penalties.push(logitBias(options.logitBias));
  return penalties;
}

/** All changes to the logits of single tokens, and the history they depend on. */
export class LogitChanges {
  private readonly penalties: readonly Penalty[];
  /** Whether the changes depend on what was generated. */
  readonly dependsOnHistory: boolean;
  /** What `ids` answers, until the next `accept`. */
  private current: Int32Array | undefined;

  constructor(options: ResolvedSamplingOptions, from?: LogitChanges) {
    this.penalties = from?.penalties.map((penalty) => penalty.clone?.() ?? penalty) ?? makePenalties(options);
    this.dependsOnHistory = this.penalties.some((penalty) => penalty.accept !== undefined);
  }

  /** Whether nothing is changed, whatever comes. */
  get none(): boolean {
    return this.penalties.length === 0;
  }

  /** Notes a token of the prompt or, with `isGenerated`, of the answer. */
  accept(id: number, isGenerated: boolean): void {
    if (!this.dependsOnHistory) return;
    this.current = undefined;
    for (const penalty of this.penalties) penalty.accept?.(id, isGenerated);
  }

  /** The ids whose logits are changed now, rising. */
  ids(): Int32Array {
    this.current ??= Int32Array.from(new Set(this.penalties.flatMap((penalty) => [...penalty.ids()]))).sort();
    return this.current;
  }

  /** The changed logit, rounded to single precision like the logits themselves. */
  apply(id: number, logit: number): number {
    return Math.fround(this.penalties.reduce((changed, penalty) => penalty.apply(id, changed), logit));
  }
}
