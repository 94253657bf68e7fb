import { byId } from "./dom";

/** A model as `/v1/models` lists it. */
export interface ModelEntry {
  id: string;
  features?: readonly string[];
}

/** A token with its probability and the likeliest others. */
export interface TokenProbability {
  token: string;
  logprob: number;
  top_logprobs: readonly { token: string; logprob: number }[];
}

/** What a chat request sends. */
export interface ChatBody {
  model: string;
  messages: readonly { role: string; content: string }[];
  [setting: string]: unknown;
}

/** A piece of an answer. */
export interface ChatPiece {
  text: string;
  probabilities: readonly TokenProbability[];
  /** In the last pieces only. */
  finishReason?: string;
  completionTokens?: number;
}

/** An answer that is no success. */
export class RequestError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** A request with the key, which is asked for when the server wants one. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const key = sessionStorage.getItem("key");
    const headers = { ...(key === null ? {} : { authorization: `Bearer ${key}` }), "content-type": "application/json" };
    const response = await fetch(path, { ...init, headers });
    if (response.ok) return response;
    const message = await messageOf(response);
    if (response.status !== 401 || !(await askForKey())) throw new RequestError(response.status, message);
  }
}

async function messageOf(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { error?: { message?: string } };
    return body.error?.message ?? response.statusText;
  } catch {
    return response.statusText;
  }
}

let asking: Promise<boolean> | undefined;

/** Shows the key dialog once, however many requests need it. False: it was left without a key. */
function askForKey(): Promise<boolean> {
  asking ??= new Promise<boolean>((resolve) => {
    const dialog = byId("key-dialog", HTMLDialogElement);
    const input = byId("key", HTMLInputElement);
    input.value = "";
    dialog.addEventListener(
      "close",
      () => {
        const key = input.value.trim();
        if (key !== "") sessionStorage.setItem("key", key);
        asking = undefined;
        resolve(key !== "");
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}

/** The models of the server. */
export async function listModels(): Promise<ModelEntry[]> {
  const { data } = (await (await request("v1/models")).json()) as { data: ModelEntry[] };
  return data;
}

interface StreamChunk {
  error?: { message: string };
  choices?: {
    delta?: { content?: string | null };
    logprobs?: { content?: TokenProbability[] | null } | null;
    finish_reason?: string | null;
  }[];
  usage?: { completion_tokens: number } | null;
}

/** Streams an answer. */
export async function* streamChat(body: ChatBody, signal: AbortSignal): AsyncGenerator<ChatPiece, void> {
  const response = await request("v1/chat/completions", {
    method: "POST",
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  for await (const data of eventData(response)) {
    if (data === "[DONE]") return;
    const { error, choices, usage } = JSON.parse(data) as StreamChunk;
    if (error) throw new RequestError(500, error.message);
    const choice = choices?.[0];
    yield {
      text: choice?.delta?.content ?? "",
      probabilities: choice?.logprobs?.content ?? [],
      ...(choice?.finish_reason ? { finishReason: choice.finish_reason } : {}),
      ...(usage ? { completionTokens: usage.completion_tokens } : {}),
    };
  }
}

/** The data of the events of a response. */
async function* eventData(response: Response): AsyncGenerator<string, void> {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop() ?? "";
      for (const event of events) {
        for (const line of event.split("\n")) if (line.startsWith("data: ")) yield line.slice("data: ".length);
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
