import type { FastifyInstance } from "fastify";
import { invalid, unsupported } from "../api_error";
import type { Backend, BackendChunk, EncodedChat } from "../backend";
import { checkFeatures } from "../features";
import { Fields } from "../fields";
import { Job } from "../job";
import { checkLength } from "../length";
import { checkTokenIds, MOST_TEXTS, readGeneration, tokenId, type GenerationPlan } from "../sampling_fields";
import type { Service } from "../service";
import { sendEvents, type ServerEvent } from "../sse";
import { collectTexts, generateTexts, totalUsage, type TextEvent, type TextsRequest } from "../texts";
import { completionLogprobs, finishReason, newId, unixSeconds, usageBody, type EchoedToken } from "../wire";
import { logTexts, streamSettings } from "./common";

/** OpenAI's default for completions. */
const DEFAULT_MAX_TOKENS = 16;

type Prompt = string | number[];

interface CompletionRequest extends GenerationPlan {
  model: string | undefined;
  prompts: Prompt[];
  echo: boolean;
}

/** `POST /v1/completions` */
export function addCompletions(app: FastifyInstance, service: Service): void {
  app.post("/v1/completions", (request, reply) =>
    Job.run(service, reply, async (job) => {
      const completion = readCompletionRequest(request.body);
      const { prompts, n } = completion;
      const { id: model, backend } = await job.enter(completion.model, prompts.length * n);
      checkFeatures(backend, completion.options, { format: "response_format" });
      const texts: TextsRequest = {
        model,
        backend,
        prompts: await Promise.all(prompts.map((prompt) => encode(backend, prompt))),
        n,
        options: { ...completion.options, kind: "completion" },
        signal: job.signal,
      };
      logTexts(service, request.log, { prompts });
      const echoes = await Promise.all(prompts.map((prompt, i) => echoOf(prompt, i, completion, texts)));
      const events = generateTexts(texts, service.metrics);
      const id = newId("cmpl");
      if (completion.stream) {
        const stream = streamed(id, completion, texts, echoes, events);
        await sendEvents(reply, stream, streamSettings(service, request.log));
        return reply;
      }
      return whole(id, texts, echoes, events);
    }),
  );
}

function readCompletionRequest(body: unknown): CompletionRequest {
  const fields = new Fields(body);
  const model = fields.string("model");
  const prompts = readPrompts(fields);
  const plan = readGeneration(fields);
  const echo = fields.boolean("echo") ?? false;
  // With an echo, the prompt itself is an answer.
  plan.options.maxTokens = fields.integer("max_tokens", { min: echo ? 0 : 1 }) ?? DEFAULT_MAX_TOKENS;
  const logprobs = fields.integer("logprobs", { min: 0, max: 5 });
  if (logprobs !== undefined) plan.options.logprobs = logprobs;
  const bestOf = fields.integer("best_of", { min: 1, max: MOST_TEXTS });
  if (bestOf !== undefined && bestOf !== plan.n) {
    throw invalid("Invalid 'best_of': this server supports it only with the value of 'n'.", "best_of");
  }
  if (fields.string("suffix")) fields.refuse("suffix", "Insertion is not supported by this server.");
  fields.done();
  if (prompts.length * plan.n > MOST_TEXTS) {
    throw invalid(`Invalid 'n': at most ${MOST_TEXTS} texts a request, all prompts together.`, "n");
  }
  return { ...plan, model, prompts, echo };
}

/** Reads the prompt's four forms: a text, texts, token ids, lists of token ids. */
function readPrompts(fields: Fields): Prompt[] {
  const value = fields.required("prompt", fields.any("prompt"));
  if (typeof value === "string") return [value];
  if (!Array.isArray(value)) throw fields.wrongType("prompt", "a string or an array", value);
  if (value.length === 0) throw invalid("Invalid 'prompt': it must not be an empty array.", "prompt");
  if (typeof value[0] === "number") return [value.map((id) => tokenId(id, "prompt"))];
  if (value.length > MOST_TEXTS) throw invalid(`Invalid 'prompt': at most ${MOST_TEXTS} prompts.`, "prompt");
  return value.map((each: unknown) => {
    if (typeof each === "string") return each;
    if (Array.isArray(each)) return each.map((id) => tokenId(id, "prompt"));
    throw fields.wrongType("prompt", "strings or arrays of token ids", each);
  });
}

async function encode(backend: Backend, prompt: Prompt): Promise<EncodedChat> {
  if (typeof prompt !== "string") checkTokenIds(prompt, backend.vocabularySize, "prompt");
  else await checkLength(backend, prompt);
  const tokens = typeof prompt === "string" ? await backend.tokenizer.encode(prompt) : prompt;
  if (tokens.length === 0) throw invalid("Invalid 'prompt': it has no tokens.", "prompt");
  return { tokens, stop: [], stopTokens: [] };
}

/** What stands before a text. */
interface Echo {
  text: string;
  /** The prompt's tokens, where log-probabilities are wanted. */
  tokens: readonly EchoedToken[];
}

const NO_ECHO: Echo = { text: "", tokens: [] };

async function echoOf(
  prompt: Prompt,
  index: number,
  { echo, options }: CompletionRequest,
  { backend, prompts, signal }: TextsRequest,
): Promise<Echo> {
  if (!echo) return NO_ECHO;
  const text = typeof prompt === "string" ? prompt : backend.tokenizer.decode(prompt);
  if (options.logprobs === undefined) return { text, tokens: [] };
  if (!backend.score) throw unsupported("logprobs", "This model does not offer them together with 'echo'.");
  const tokens = prompts[index]?.tokens ?? [];
  const scores = await backend.score(tokens, options.logprobs, signal);
  return { text, tokens: [{ token: tokens[0] ?? 0 }, ...scores] };
}

/** The log-probabilities of a piece of a text; the echo's stand before those of the first. */
function scoresOf(
  { backend }: TextsRequest,
  echo: Echo | undefined,
  logprobs: BackendChunk["logprobs"] = [],
  offset = echo?.tokens.length ? 0 : (echo?.text.length ?? 0),
): { body: object | null; nextOffset: number } {
  const tokens = [...(echo?.tokens ?? []), ...logprobs];
  const { body, nextOffset } = completionLogprobs(backend.tokenizer, tokens, offset);
  return { body: tokens.length > 0 ? body : null, nextOffset };
}

async function whole(
  id: string,
  request: TextsRequest,
  echoes: readonly Echo[],
  events: AsyncIterable<TextEvent>,
): Promise<object> {
  const { model, n, prompts } = request;
  const texts = await collectTexts(events, prompts.length * n);
  return {
    id,
    object: "text_completion",
    created: unixSeconds(),
    model,
    choices: texts.map(({ text, logprobs, finishReason: reason }, index) => {
      const echo = echoes[Math.floor(index / n)] ?? NO_ECHO;
      return {
        text: echo.text + text,
        index,
        logprobs: scoresOf(request, echo, logprobs).body,
        finish_reason: finishReason(reason),
      };
    }),
    usage: usageBody(
      totalUsage(
        texts.map(({ usage }) => usage),
        n,
      ),
    ),
  };
}

async function* streamed(
  id: string,
  { includeUsage }: CompletionRequest,
  request: TextsRequest,
  echoes: readonly Echo[],
  events: AsyncIterable<TextEvent>,
): AsyncGenerator<ServerEvent, undefined> {
  const { model, n, prompts } = request;
  const head = { id, object: "text_completion", created: unixSeconds(), model };
  const usages = Array.from({ length: prompts.length * n }, () => undefined as TextEvent["chunk"]["usage"]);
  const offsets = new Map<number, number>();
  for await (const { index, chunk } of events) {
    const echo = offsets.has(index) ? undefined : echoes[Math.floor(index / n)];
    const { text, logprobs, finishReason: reason, usage } = chunk;
    const scores = scoresOf(request, echo, logprobs, offsets.get(index));
    offsets.set(index, scores.nextOffset);
    if (usage) usages[index] = usage;
    const choice = {
      text: (echo?.text ?? "") + text,
      index,
      logprobs: scores.body,
      finish_reason: reason ? finishReason(reason) : null,
    };
    yield { data: { ...head, choices: [choice], ...(includeUsage ? { usage: null } : {}) } };
  }
  if (includeUsage) yield { data: { ...head, choices: [], usage: usageBody(totalUsage(usages, n)) } };
  yield { data: "[DONE]" };
}
