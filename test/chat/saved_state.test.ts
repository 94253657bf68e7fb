/** Conversations in files: they go on as if nothing had happened, and whatever is wrong with a file is said. */
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  ClosedError,
  FileError,
  InvalidOptionError,
  Model,
  QueueFullError,
  StateError,
  tool,
  type ChatOptions,
  type ModelOptions,
} from "../../lib";
import { uniform } from "../helpers/random";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";

const folder = temporaryFolder();
const modelPath = join(folder, "tiny.gguf");
const otherPath = join(folder, "other.gguf");
const OPTIONS = { template: "story", temperature: 0.9, seed: 3, maxTokens: 40, ignoreEos: true } as const;
const QUESTIONS = ["Once upon a time there was a very small king", "And then", "At last"] as const;
let model: Model;

beforeAll(async () => {
  writeTinyModel(modelPath, { context: 512 });
  writeTinyModel(otherPath, { context: 512, seed: 2 });
  model = await Model.load(modelPath);
});
afterAll(() => model.close());

async function withModel<T>(options: ModelOptions, work: (model: Model) => Promise<T>, path = modelPath): Promise<T> {
  await using loaded = await Model.load(path, options);
  return await work(loaded);
}

/** Asks the questions in order. */
async function answers(chat: ReturnType<Model["chat"]>, questions: readonly string[]): Promise<number[][]> {
  const tokens: number[][] = [];
  for (const question of questions) tokens.push((await chat.ask(question)).tokens);
  return tokens;
}

/** What the conversation says without a break, and a file of it after the first answer. */
async function saved(path: string, owner = model, options: ChatOptions = OPTIONS): Promise<number[][]> {
  using chat = owner.chat(options);
  const first = await answers(chat, QUESTIONS.slice(0, 1));
  await owner.saveState(chat, path);
  return [...first, ...(await answers(chat, QUESTIONS.slice(1)))];
}

describe("a saved conversation", () => {
  test("goes on in the same model as if it had never stopped, without computing its beginning again", async () => {
    const path = join(folder, "same.state");
    const expected = await saved(path);
    model.clearPrefixCache();
    using chat = await model.loadState(path, OPTIONS);
    expect(chat.messages).toHaveLength(2);
    const second = await chat.ask(QUESTIONS[1]);
    // As far as the answer's text has the tokens that were drawn, like without a break.
    expect(second.usage.cachedTokens).toBeGreaterThanOrEqual(32);
    expect([second.tokens, (await chat.ask(QUESTIONS[2])).tokens]).toEqual(expected.slice(1));
  });

  test.each<[string, ModelOptions, ModelOptions]>([
    [
      "on another kernel, with other threads and a smaller context",
      {},
      { kernel: "scalar", threads: 1, contextLength: 400 },
    ],
    ["in f32", { kvType: "f32" }, { kvType: "f32", head: "full" }],
    ["in int8", { kvType: "int8" }, { kvType: "int8", prefixCache: false }],
  ])("goes on in another process's model %s: the same bits", async (_, first, second) => {
    const path = join(folder, `other-${first.kvType ?? "f16"}.state`);
    const expected = await withModel(first, (owner) => saved(path, owner));
    // Where the file lies does not tell models apart.
    const moved = join(folder, `moved-${first.kvType ?? "f16"}.gguf`);
    copyFileSync(modelPath, moved);
    const [cached, ...tokens] = await withModel(
      second,
      async (other) => {
        using chat = await other.loadState(path, OPTIONS);
        const next = await chat.ask(QUESTIONS[1]);
        return [next.usage.cachedTokens, next.tokens, (await chat.ask(QUESTIONS[2])).tokens];
      },
      moved,
    );
    expect(cached).toBeGreaterThanOrEqual(32);
    expect(tokens).toEqual(expected.slice(1));
  });

  test("goes on where the cache has room for a part of it or had none, and leaves nothing behind", async () => {
    const path = join(folder, "room.state");
    const expected = await saved(path);
    const small = { contextLength: 300, maxConcurrent: 1 };
    await withModel(small, async (other) => {
      const { total } = other.stats().kvBlocks;
      // Sessions that idle hold all of the cache.
      const holders = [];
      for (let i = 0; other.stats().kvBlocks.free > 0 && i < 40; i++) {
        const chat = other.chat({ ...OPTIONS, seed: i });
        await chat.ask(`${i} `.repeat(60));
        holders.push(chat);
      }
      using chat = await other.loadState(path, OPTIONS);
      expect(await answers(chat, QUESTIONS.slice(1))).toEqual(expected.slice(1));
      chat.close();
      for (const holder of holders) holder.close();
      other.clearPrefixCache();
      expect(other.stats().kvBlocks).toEqual({ total, free: total, cached: 0 });
    });
  });

  test("can be one without any block, and is not changed by what its session does next", async () => {
    const path = join(folder, "short.state");
    using chat = model.chat({ ...OPTIONS, system: "S", maxTokens: 2 });
    await model.saveState(chat, path);
    const before = readFileSync(path);
    using again = await model.loadState(path, { ...OPTIONS, maxTokens: 2 });
    expect(again.messages).toEqual([{ role: "system", content: "S" }]);
    const [answer] = await answers(again, ["x"]);
    expect(await answers(chat, ["x"])).toEqual([answer]);
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test("keeps calls that wait for their results", async () => {
    const path = join(folder, "calls.state");
    const lookUp = tool({
      description: "Looks up",
      parameters: { type: "object", properties: { of: { enum: ["a", "b"] } }, required: ["of"] },
    });
    const options = {
      ...OPTIONS,
      maxTokens: 200,
      tools: { look_up: lookUp },
      toolChoice: "required",
      parallelToolCalls: false,
      ignoreEos: false,
    } as const;
    using chat = model.chat(options);
    await chat.ask("Look");
    const calls = chat.pendingToolCalls;
    expect(calls.length).toBeGreaterThan(0);
    await model.saveState(chat, path);
    using again = await model.loadState(path, options);
    expect(again.pendingToolCalls).toEqual(calls);
    await expect(again.ask("What now?")).rejects.toThrow(/give their results/);
    const results = calls.map(({ id }) => ({ id, content: "found" }));
    const finish = async (each: typeof chat): Promise<string> => {
      let text = "";
      for await (const chunk of each.sendToolResults(results, { maxTokens: 20 })) text += chunk.text;
      return text;
    };
    expect(await finish(again)).toBe(await finish(chat));
  });

  test("can be saved right after an answer was left, while the engine still computes", async () => {
    const path = join(folder, "left.state");
    using chat = model.chat(OPTIONS);
    await chat.ask(QUESTIONS[0]);
    const running = model.chat({ ...OPTIONS, maxTokens: 200 });
    const other = running.ask("This goes on");
    for await (const chunk of chat.send(QUESTIONS[1], { maxTokens: 100 })) if (chunk.tokens.length > 0) break;
    await model.saveState(chat, path);
    await other;
    running.close();
    using again = await model.loadState(path, OPTIONS);
    expect(await answers(again, QUESTIONS.slice(1))).toEqual(await answers(chat, QUESTIONS.slice(1)));
  });
});

describe("refusals", () => {
  const path = join(folder, "good.state");
  let bytes: Buffer;
  let freeBefore: number;
  beforeAll(async () => {
    await saved(path);
    bytes = readFileSync(path);
    model.clearPrefixCache();
    freeBefore = model.stats().kvBlocks.free;
  });
  afterEach(() => {
    model.clearPrefixCache();
    expect(model.stats().kvBlocks.free).toBe(freeBefore);
  });

  /** A file of these bytes. */
  function file(content: Uint8Array): string {
    const damaged = join(folder, "damaged.state");
    writeFileSync(damaged, content);
    return damaged;
  }

  /** A file that is whole by its checksum, with another header. */
  function withHeader(change: (header: Record<string, unknown>) => unknown): string {
    const length = bytes.readUInt32LE(12);
    const header = JSON.parse(bytes.toString("utf8", 16, 16 + length)) as Record<string, unknown>;
    const json = Buffer.from(JSON.stringify(change(header)));
    const head = Buffer.from(bytes.subarray(0, 16));
    head.writeUInt32LE(json.length, 12);
    const body = Buffer.concat([head, json, bytes.subarray(16 + length, -32)]);
    return file(Buffer.concat([body, createHash("sha256").update(body).digest()]));
  }

  test("a file that was cut anywhere is damaged", async () => {
    const random = uniform(5);
    const cuts = [0, 1, 7, 8, 15, 16, 17, bytes.length - 33, bytes.length - 32, bytes.length - 1];
    for (let i = 0; i < 40; i++) cuts.push(Math.floor(random() * bytes.length));
    for (const cut of cuts) {
      await expect(model.loadState(file(bytes.subarray(0, cut)), OPTIONS)).rejects.toBeInstanceOf(StateError);
    }
  });

  test("a file with any bit changed, or with more behind, is damaged", async () => {
    const random = uniform(6);
    for (let i = 0; i < 120; i++) {
      const damaged = Buffer.from(bytes);
      // Every field of the head, then anywhere.
      const at = i < 48 ? i : Math.floor(random() * damaged.length);
      damaged[at]! ^= 1 << Math.floor(random() * 8);
      await expect(model.loadState(file(damaged), OPTIONS)).rejects.toBeInstanceOf(StateError);
    }
    await expect(model.loadState(file(Buffer.concat([bytes, Buffer.alloc(1)])))).rejects.toThrow(/damaged/);
  });

  test("a later version is named", async () => {
    const later = Buffer.from(bytes);
    const own = bytes.readUInt32LE(8);
    later.writeUInt32LE(own + 1, 8);
    await expect(model.loadState(file(later))).rejects.toThrow(
      `has version ${own + 1}; this version of node-bitnet reads ${own}`,
    );
  });

  test.each<[string, (header: Record<string, unknown>) => unknown]>([
    ["another block size", (header) => ({ ...header, blockBytes: 2 ** 50 })],
    ["more blocks", (header) => ({ ...header, blocks: 2 ** 40 })],
    ["fewer blocks", (header) => ({ ...header, blocks: (header.blocks as number) - 1 })],
    ["no model", (header) => ({ ...header, model: 5 })],
    ["nothing", () => null],
    ["another kind", (header) => ({ ...header, content: { ...(header.content as object), kind: "text" } })],
    ["no messages", (header) => ({ ...header, content: { ...(header.content as object), messages: "x" } })],
    ["a message of nobody", (header) => ({ ...header, content: { ...(header.content as object), messages: [{}] } })],
    ["no calls", (header) => ({ ...header, content: { ...(header.content as object), openCalls: [null] } })],
    ["forgotten messages", (header) => ({ ...header, content: { ...(header.content as object), forgotten: 99 } })],
  ])("a file whose header says %s", async (_, change) => {
    await expect(model.loadState(withHeader(change), OPTIONS)).rejects.toBeInstanceOf(StateError);
  });

  test("tokens beyond the vocabulary", async () => {
    const changed = Buffer.from(bytes);
    changed.writeInt32LE(1 << 20, 16 + bytes.readUInt32LE(12));
    createHash("sha256")
      .update(changed.subarray(0, -32))
      .digest()
      .copy(changed, changed.length - 32);
    await expect(model.loadState(file(changed))).rejects.toThrow(/does not fit the model/);
  });

  test("another model's state, and another kvType", async () => {
    await withModel(
      {},
      async (other) => {
        await expect(other.loadState(path)).rejects.toThrow(/was saved with another model/);
        expect(other.stats().kvBlocks.free).toBe(other.stats().kvBlocks.total);
      },
      otherPath,
    );
    await withModel({ kvType: "int8" }, async (other) => {
      await expect(other.loadState(path)).rejects.toThrow(/saved with kvType "f16".*loaded with "int8"/);
    });
  });

  test("what is no file, no state or no session", async () => {
    await expect(model.loadState(join(folder, "absent"))).rejects.toBeInstanceOf(FileError);
    await expect(model.loadState(folder)).rejects.toThrow(/not a regular file/);
    await expect(model.loadState(modelPath)).rejects.toThrow(/no saved state/);
    await expect(model.loadState(5 as unknown as string)).rejects.toBeInstanceOf(InvalidOptionError);
    await expect(model.loadState(path, { system: "x" } as object)).rejects.toThrow(/unknown option "system"/);
    await expect(model.saveState({} as never, path)).rejects.toBeInstanceOf(InvalidOptionError);
    using chat = model.chat(OPTIONS);
    await withModel({}, async (other) => {
      await expect(other.saveState(chat, path)).rejects.toThrow(/belongs to another model/);
    });
    chat.close();
    await expect(model.saveState(chat, path)).rejects.toBeInstanceOf(ClosedError);
  });

  test("saving while an answer is read, or to where nothing can be written, leaves what was there", async () => {
    const place = join(folder, "place");
    mkdirSync(place);
    using chat = model.chat(OPTIONS);
    const turn = chat.send("x");
    await turn.next();
    await expect(model.saveState(chat, join(place, "a"))).rejects.toBeInstanceOf(QueueFullError);
    await turn.return();
    writeFileSync(join(folder, "plain"), "");
    await expect(model.saveState(chat, join(folder, "plain", "a"))).rejects.toBeInstanceOf(FileError);
    expect(readdirSync(place)).toEqual([]);
    chat.close();
    model.clearPrefixCache();
  });

  test("a model that is closed meanwhile", async () => {
    const other = await Model.load(modelPath);
    const chat = other.chat(OPTIONS);
    await chat.ask(QUESTIONS[0]);
    const target = join(folder, "never.state");
    const saving = other.saveState(chat, target);
    const loading = other.loadState(path);
    await other.close();
    const outcomes = await Promise.allSettled([saving, loading]);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(ClosedError);
    }
    expect(outcomes[0].status === "fulfilled").toBe(existsSync(target));
    await expect(other.loadState(path)).rejects.toBeInstanceOf(ClosedError);
  });
});
