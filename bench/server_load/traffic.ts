import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { Random } from "../synthetic/random";

/** What clients do. */
export interface TrafficOptions {
  /** Root of the server, without "/v1". */
  url: string;
  connections: number;
  /** Share of requests whose client leaves before the end. */
  leaving: number;
  /** Longest answer in tokens; lengths are mixed up to it. */
  maxTokens: number;
  /** Longest prompt in words; lengths are mixed up to it. */
  promptWords: number;
}

/** What happened; times in milliseconds. */
export class Outcome {
  /** Whole answers. */
  completed = 0;
  /** Requests that the client left on purpose. */
  left = 0;
  /** Answers with 429 and `Retry-After`. */
  refused = 0;
  /** Everything else, by what went wrong. */
  readonly errors = new Map<string, number>();
  /** Events with text: what a client sees as tokens. */
  tokens = 0;
  readonly firstToken: number[] = [];
  readonly between: number[] = [];
  /** Streams that had begun when `stopping` was set, and how they ended. */
  stopping = false;
  finishedWhileStopping = 0;

  fail(reason: string): void {
    this.errors.set(reason, (this.errors.get(reason) ?? 0) + 1);
  }
}

const WORDS = "the king had a daughter who went into the dark forest and met an old woman with golden hair".split(" ");

/** Clients on keep-alive connections, each sending its next request when the one before is over. */
export class Traffic {
  readonly outcome = new Outcome();
  private readonly agent: Agent;
  private readonly generator = new Random(7, 0);
  private over = false;
  private clients: Promise<void>[] = [];

  constructor(private readonly options: TrafficOptions) {
    this.agent = new Agent({ keepAlive: true, maxSockets: options.connections });
  }

  start(): void {
    this.clients = Array.from({ length: this.options.connections }, () => this.client());
  }

  /** No further requests; waits for those under way. */
  async stop(): Promise<void> {
    this.over = true;
    await Promise.all(this.clients);
    this.agent.destroy();
  }

  private async client(): Promise<void> {
    while (!this.over) await this.send();
  }

  /** One request: streamed, with a prompt and an answer of random length. */
  private send(): Promise<void> {
    const { url, leaving, maxTokens, promptWords } = this.options;
    const { outcome } = this;
    const random = (): number => (this.generator.next() >>> 0) / 2 ** 32;
    const length = 1 + Math.floor(random() ** 2 * promptWords);
    const prompt = Array.from({ length }, () => WORDS[Math.floor(random() * WORDS.length)]).join(" ");
    const max = 1 + Math.floor(random() ** 2 * maxTokens);
    const body = JSON.stringify({ prompt, max_tokens: max, temperature: 0.8, stream: true });
    const leaves = random() < leaving ? leavingTime(random, max) : undefined;
    return new Promise((resolve) => {
      let left = false;
      const started = performance.now();
      const request = httpRequest(`${url}/v1/completions`, {
        method: "POST",
        agent: this.agent,
        headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
      });
      const timer = leaves?.ms === undefined ? undefined : setTimeout(() => leave(), leaves.ms);
      const end = (note: () => void): void => {
        clearTimeout(timer);
        if (!left) note();
        resolve();
      };
      const leave = (): void => {
        left = true;
        outcome.left++;
        request.destroy();
        resolve();
      };
      request.on("error", (error: NodeJS.ErrnoException) => {
        end(() => {
          // A server that stops takes no more connections; that is no lost answer.
          if (!outcome.stopping) outcome.fail(`connection: ${error.code ?? error.message}`);
        });
      });
      request.on("response", (response) => {
        read(response, started, outcome, (events) => events === leaves?.events && leave()).then(
          (problem) => end(() => (problem === undefined ? undefined : outcome.fail(problem))),
          (error: unknown) => end(() => outcome.fail(`stream: ${(error as Error).message}`)),
        );
      });
      request.end(body);
    });
  }
}

/** When a client leaves: in the queue or while its prompt is read, or after so many of at most `max` events. */
function leavingTime(random: () => number, max: number): { ms?: number; events?: number } {
  return random() < 1 / 3 ? { ms: random() * 150 } : { events: 1 + Math.floor(random() * max * 0.8) };
}

/**
 * Reads an answer to its end. Resolves to what was wrong with it.
 * @param onEvent told of the number of events so far
 */
async function read(
  response: IncomingMessage,
  started: number,
  outcome: Outcome,
  onEvent: (count: number) => void,
): Promise<string | undefined> {
  response.setEncoding("utf8");
  if (response.statusCode !== 200) {
    response.resume();
    if (response.statusCode === 503 && outcome.stopping) return undefined;
    if (response.statusCode !== 429) return `status ${response.statusCode ?? 0}`;
    if (response.headers["retry-after"] === undefined) return "429 without Retry-After";
    outcome.refused++;
    // What a polite client does, faster.
    await new Promise((resolve) => setTimeout(resolve, 100));
    return undefined;
  }
  let last = started;
  let rest = "";
  let count = 0;
  let done = false;
  for await (const piece of response as AsyncIterable<string>) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "data: [DONE]") done = true;
      if (!line.startsWith('data: {"')) continue;
      if (line.startsWith('data: {"error"')) return `error in a stream: ${line.slice(0, 120)}`;
      const now = performance.now();
      outcome.tokens++;
      (count === 0 ? outcome.firstToken : outcome.between).push(now - last);
      last = now;
      onEvent(++count);
    }
  }
  if (!done) return "stream without an end";
  outcome.completed++;
  if (outcome.stopping) outcome.finishedWhileStopping++;
  return undefined;
}
