import type { TokenProbability } from "./api";

/** One turn as the page shows it. */
export interface Turn {
  role: "user" | "assistant";
  content: string;
  probabilities?: TokenProbability[];
  /** Why an answer is not whole. */
  note?: string;
}

/** What the user may set. Numbers that are not set are left to the server. */
export interface Settings {
  system: string;
  temperature?: number | undefined;
  top_p?: number | undefined;
  top_k?: number | undefined;
  min_p?: number | undefined;
  repetition_penalty?: number | undefined;
  seed?: number | undefined;
  max_tokens?: number | undefined;
  probabilities: boolean;
}

/** What a reload brings back. */
export interface State {
  model: string;
  turns: Turn[];
  settings: Settings;
}

const KEY = "chat";

/** The state that was kept, or a new one. */
export function loadState(): State {
  const fresh: State = { model: "", turns: [], settings: { system: "", max_tokens: 256, probabilities: false } };
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<State>;
    return { ...fresh, ...kept, settings: { ...fresh.settings, ...kept.settings } };
  } catch {
    return fresh;
  }
}

/** Keeps the state. Where the browser's storage is full or forbidden, only a reload forgets it. */
export function saveState(state: State): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(state));
  } catch {
    // The chat goes on without.
  }
}
