import type { Engine } from "../engine";
import { InvalidOptionError } from "../errors";

/** What attention leans on at the start of a text. */
const SINK_TOKENS = 4;

/**
 * How many tokens at the start of a prompt stay when the context slides.
 * @throws InvalidOptionError for more than half of the context
 */
export function keptTokens(what: string, { info }: Engine, keepTokens: number | undefined): number {
  const most = Math.floor(info.contextLength / 2);
  const kept = keepTokens ?? Math.min(SINK_TOKENS, most);
  if (kept <= most) return kept;
  throw new InvalidOptionError(
    `${what}: ${kept} tokens shall be kept (option "keepTokens"); at most ${most} are possible, half of the context.`,
  );
}

/** The first `kept` tokens and the newer half of what the context has room for behind them. */
export function slide(tokens: ArrayLike<number>, kept: number, contextLength: number): number[] {
  const room = Math.max(Math.floor((contextLength - kept) / 2), 1);
  const all = Array.from(tokens);
  return [...all.slice(0, kept), ...all.slice(Math.max(all.length - room, kept))];
}

/** How many tokens a prompt may have at most: one position is left for an answer. Infinity where it is cut to fit. */
export function mostPromptTokens({ info }: Engine, overflow: "stop" | "error" | "slide"): number {
  return overflow === "slide" ? Infinity : info.contextLength - 1;
}
