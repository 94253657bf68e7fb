/** Bounds of a scheduler's steps. */
export interface SchedulerLimits {
  vocabularySize: number;
  /** Most tokens in one step; what the context was made for. */
  maxBatchTokens: number;
  /** Most prompt tokens in a step in which other sequences decode, so that these keep flowing. */
  prefillChunk: number;
  /** Most sequences that are computed at a time; others wait. Paused ones do not count. */
  maxConcurrent: number;
  /** Most requests that wait for their turn. Default: any number. */
  maxQueue?: number;
  /** Blocks of the KV cache that texts may leave behind for others that begin the same way. Default 0. */
  cacheBlocks?: number;
}

/** What a scheduler does and did. */
export interface SchedulerStats {
  /** Requests that are computed now. */
  running: number;
  /** Requests that wait for their turn. */
  waiting: number;
  /** Passes through the model, each for all texts under way. */
  steps: number;
  /** Tokens that were computed, prompts and answers. */
  computedTokens: number;
  /** Tokens of prompts that needed no computing. */
  cachedTokens: number;
  /** Tokens of the prompts that were begun. */
  promptTokens: number;
  /** Requests that found a beginning of their prompt. */
  cacheHits: number;
  /** Requests that were begun. */
  requests: number;
  /** How often a request had to give its cache away and was recomputed. */
  preemptions: number;
  /** Guessed tokens. */
  draftTokens: number;
  /** Guesses that were right. */
  acceptedDrafts: number;
  /** Blocks of the KV cache, of 32 positions each. */
  kvBlocks: {
    /** All that there are. */
    total: number;
    /** Those that nobody holds. */
    free: number;
    /** Those that texts left behind, for others that begin the same way; they are given up when room is needed. */
    cached: number;
  };
}
