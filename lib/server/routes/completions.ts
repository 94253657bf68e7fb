import type { FastifyInstance } from "fastify";
import { invalid } from "../api_error";
import type { Backend, EncodedChat } from "../backend";
import { checkFeatures } from "../features";
import { Fields } from "../fields";
import { Job } from "../job";
import { checkTokenIds, MOST_TEXTS, readGeneration, tokenId, type GenerationPlan } from "../sampling_fields";
import type { Service } from "../service";
import { sendEvents, type ServerEvent } from "../sse";
import { collectTexts, generateTexts, totalUsage, type TextEvent, type TextsRequest } from "../texts";
import { completionLogprobs, finishReason, newId, unixSeconds, usageBody } from "../wire";
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
        options: completion.options,
        signal: job.signal,
      };
      logTexts(service, request.log, { prompts });
      const echoes = prompts.map((prompt) => (completion.echo ? textOf(backend, prompt) : ""));
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
  plan.options.maxTokens = fields.integer("max_tokens", { min: 1 }) ?? DEFAULT_MAX_TOKENS;
  const logprobs = fields.integer("logprobs", { min: 0, max: 5 });
  if (logprobs !== undefined) plan.options.logprobs = logprobs;
  const echo = fields.boolean("echo") ?? false;
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
  const tokens = typeof prompt === "string" ? await backend.tokenizer.encode(prompt) : prompt;
  if (tokens.length === 0) throw invalid("Invalid 'prompt': it has no tokens.", "prompt");
  return { tokens, stop: [], stopTokens: [] };
}

function textOf(backend: Backend, prompt: Prompt): string {
  return typeof prompt === "string" ? prompt : backend.tokenizer.decode(prompt);
}

async function whole(
  id: string,
  { model, backend, n, prompts }: TextsRequest,
  echoes: readonly string[],
  events: AsyncIterable<TextEvent>,
): Promise<object> {
  const texts = await collectTexts(events, prompts.length * n);
  return {
    id,
    object: "text_completion",
    created: unixSeconds(),
    model,
    choices: texts.map(({ text, logprobs, finishReason: reason }, index) => {
      const echo = echoes[Math.floor(index / n)] ?? "";
      return {
        text: echo + text,
        index,
        logprobs: logprobs.length > 0 ? completionLogprobs(backend.tokenizer, logprobs, echo.length).body : null,
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
  { model, backend, n, prompts }: TextsRequest,
  echoes: readonly string[],
  events: AsyncIterable<TextEvent>,
): AsyncGenerator<ServerEvent, undefined> {
  const head = { id, object: "text_completion", created: unixSeconds(), model };
  const usages = Array.from({ length: prompts.length * n }, () => undefined as TextEvent["chunk"]["usage"]);
  const offsets = new Map<number, number>();
  for await (const { index, chunk } of events) {
    const echo = echoes[Math.floor(index / n)] ?? "";
    const first = !offsets.has(index);
    const { text, logprobs, finishReason: reason, usage } = chunk;
    const scores = completionLogprobs(backend.tokenizer, logprobs ?? [], offsets.get(index) ?? echo.length);
    offsets.set(index, scores.nextOffset);
    if (usage) usages[index] = usage;
    const choice = {
      text: first ? echo + text : text,
      index,
      logprobs: logprobs && logprobs.length > 0 ? scores.body : null,
      finish_reason: reason ? finishReason(reason) : null,
    };
    yield { data: { ...head, choices: [choice], ...(includeUsage ? { usage: null } : {}) } };
  }
  if (includeUsage) yield { data: { ...head, choices: [], usage: usageBody(totalUsage(usages, n)) } };
  yield { data: "[DONE]" };
}
