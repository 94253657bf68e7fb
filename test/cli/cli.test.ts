import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Model } from "../../lib";
import { run } from "../helpers/run_cli";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";

const folder = temporaryFolder();

const GREEDY = ["--temperature", "0", "--max-tokens", "60"];
const PROMPT = "Once upon a time";

describe("generate", () => {
  test("prints what the library generates, with every kernel and both thread counts", async () => {
    await using model = await Model.load();
    const { text } = await model.generate(PROMPT, { temperature: 0, maxTokens: 60 });
    const { kernels } = JSON.parse((await run(["kernels", "--json"])).out) as {
      kernels: { name: string; available: boolean }[];
    };
    const names = kernels.filter(({ available }) => available).map(({ name }) => name);
    expect(names).toContain("scalar-i2s");
    for (const [i, name] of names.entries()) {
      // In turn: what each kernel gives with each number of threads is tested below the command line.
      const threads = String(1 + (i % 2));
      const args = ["generate", PROMPT, ...GREEDY, "--threads", threads];
      const { code, out, err } = await run(args, { env: { BITNET_KERNEL: name } });
      expect([name, threads, code, out, err]).toEqual([name, threads, 0, `${text}\n`, ""]);
    }
  }, 60_000);

  test("--json has the stable form", async () => {
    const { code, out } = await run(["generate", PROMPT, ...GREEDY, "--json", "--stop", " and"]);
    const result = JSON.parse(out) as Record<string, unknown>;
    expect(code).toBe(0);
    expect(Object.keys(result)).toEqual(["text", "tokens", "usage", "finishReason", "timings"]);
    expect(result.finishReason).toBe("stop_string");
    expect(result.text).not.toContain(" and");
  });

  test("reads its prompt from a pipe, and repeats it when asked", async () => {
    const piped = await run(["generate", "--echo", ...GREEDY], { input: `${PROMPT}\n` });
    const given = await run(["generate", PROMPT, ...GREEDY]);
    expect(piped.out).toBe(PROMPT + given.out);
  });

  test("ends with 130 when interrupted", async () => {
    const path = join(folder, "endless.gguf");
    writeTinyModel(path, { context: 1 << 20 });
    const args = ["generate", "a", "--model", path, "--ignore-eos", "--max-tokens", "1000000", "--context", "100000"];
    const { code, out } = await run(args, { signal: "SIGINT" });
    expect(code).toBe(130);
    expect(out).not.toBe("");
  }, 30_000);

  test("ends quietly when its reader is gone", async () => {
    const path = join(folder, "long.gguf");
    writeTinyModel(path, { context: 1 << 20 });
    const args = ["generate", "a", "--model", path, "--ignore-eos", "--max-tokens", "1000000", "--context", "100000"];
    const { code, err } = await run(args, { closeOutput: true });
    expect([code, err]).toEqual([0, ""]);
  }, 30_000);
});

describe("wrong usage ends with 2, failure with 1", () => {
  test.each<[string, string[], number, RegExp]>([
    ["no command", [], 2, /Usage: node-bitnet/],
    ["an unknown command", ["generat"], 2, /Did you mean generate/],
    ["an unknown option", ["generate", "x", "--temprature", "1"], 2, /Did you mean --temperature/],
    ["no number", ["generate", "x", "--seed", "many"], 2, /must be a number/],
    ["a value out of range", ["generate", "x", "--temperature", "900"], 2, /from 0 to 100/],
    ["no prompt", ["generate"], 2, /prompt is empty/],
    ["a missing option", ["perplexity"], 2, /--file/],
    ["a file that is not there", ["generate", "x", "--model", "/absent.gguf"], 1, /absent\.gguf/],
    ["a file that is no model", ["inspect", __filename], 1, /not a GGUF file/],
    ["an unknown kernel", ["generate", "x", "--kernel", "abacus"], 1, /abacus/],
    ["a folder that is no model", ["convert", folder, join(folder, "out.gguf")], 1, /config\.json/],
  ])("%s", async (_, args, code, message) => {
    const outcome = await run(args);
    expect(outcome.code).toBe(code);
    expect(outcome.err).toMatch(message);
    expect(outcome.err).not.toMatch(/\n\s+at /); // no stack
    expect(outcome.out).toBe("");
  });

  test.each(["", "generate", "chat", "inspect", "perplexity", "convert", "bench", "bench model", "kernels"])(
    "%s --help ends with 0",
    async (command) => {
      const { code, out } = await run([...command.split(" ").filter(Boolean), "--help"]);
      expect([code, out.startsWith("Usage: node-bitnet")]).toEqual([0, true]);
    },
  );
});

describe("chat", () => {
  test("answers every line of a pipe, as a session does", async () => {
    await using model = await Model.load();
    using session = model.chat({ temperature: 0, maxTokens: 12 });
    const answers = [(await session.ask("One day")).text, (await session.ask("The king")).text];
    const args = ["chat", "--temperature", "0", "--max-tokens", "12"];
    const { code, out } = await run(args, { input: "One day\n\nThe king\n" });
    expect([code, out]).toEqual([0, answers.map((text) => `${text}\n`).join("")]);
  });
});

describe("inspect", () => {
  test("--json has metadata, tensors and memory", async () => {
    const path = join(folder, "tiny.gguf");
    writeTinyModel(path);
    const { code, out } = await run(["inspect", path, "--json", "--context", "64", "--kv-type", "f32"]);
    expect(code).toBe(0);
    const { metadata, tensors, memory } = JSON.parse(out) as {
      metadata: Record<string, unknown>;
      tensors: Record<string, unknown>[];
      memory: Record<string, number>;
    };
    expect(metadata["general.architecture"]).toBe("bitnet-b1.58");
    expect(metadata["tokenizer.ggml.tokens"]).toMatchObject({ elementType: "string", length: 264 });
    expect(tensors).toHaveLength(2 + 2 * 11);
    expect(tensors.find(({ name }) => name === "blk.1.ffn_up.weight")).toMatchObject({
      dims: [128, 256],
      type: "i2_s",
      byteLength: (128 * 256) / 4 + 32,
    });
    // 2 (keys, values) * 2 layers * 2 heads * 32 dimensions * 4 bytes * 64 positions
    expect(memory.kvBytes).toBe(2 * 2 * 2 * 32 * 4 * 64);
    // q and o 128 x 128, k and v 64 x 128, gate and up 256 x 128, down 128 x 256, at four weights a byte; the layout pads
    // columns to 256.
    expect(memory.packedBytes).toBe((2 * 256 * (2 * 128 + 2 * 64 + 2 * 256 + 128)) / 4);
    // The head is too small for a sketch.
    expect(memory.shortcutBytes).toBe(0);
  });

  test("shows a file that cannot be run, and says why", async () => {
    const path = join(folder, "unknown.gguf");
    writeTinyModel(path, { metadata: { "general.architecture": { type: "string", value: "abacus" } } });
    const { code, out } = await run(["inspect", path]);
    expect(code).toBe(0);
    expect(out).toMatch(/cannot be run: .*abacus/);
  });
});

describe("perplexity", () => {
  test("scores every token of every window behind the beginning token", async () => {
    const text = "The king had three daughters, and the youngest was so fair that the sun wondered. ".repeat(6);
    const file = join(folder, "text.txt");
    writeFileSync(file, text);
    const { code, out } = await run(["perplexity", "--file", file, "--window", "50", "--json"]);
    expect(code).toBe(0);
    const result = JSON.parse(out) as { perplexity: number; nll: number; tokens: number };

    await using model = await Model.load();
    const { vocabularySize } = model.info;
    const ids = [...(await model.tokenizer.encode(text, { addSpecial: false }))];
    let sum = 0;
    for (let start = 0; start < ids.length; start += 49) {
      const piece = [model.tokenizer.bosId!, ...ids.slice(start, start + 49)];
      const logits = await model.evaluate(piece.slice(0, -1));
      for (let i = 1; i < piece.length; i++) {
        const row = logits.subarray((i - 1) * vocabularySize, i * vocabularySize);
        sum += Math.log(row.reduce((total, logit) => total + Math.exp(logit), 0)) - row[piece[i]!]!;
      }
    }
    expect(result.tokens).toBe(ids.length);
    expect(result.nll).toBeCloseTo(sum / ids.length, 5);
    expect(result.perplexity).toBeCloseTo(Math.exp(sum / ids.length), 3);
  });

  test("compares two kernels, and refuses a stride there", async () => {
    const file = join(folder, "kernels.txt");
    writeFileSync(file, "The king had three daughters.");
    const args = ["perplexity", "--file", file, "--against-kernel", "scalar"];
    const { code, out } = await run([...args, "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ agreement: 1 });
    expect((await run([...args, "--stride", "4"])).err).toMatch(/--stride/);
  });
});

describe("bench model", () => {
  test("--json has the stable form", async () => {
    const args = ["bench", "model", "--prompt", "64", "--generate", "8", "--threads", "1,2", "--repeat", "1", "--json"];
    const { code, out } = await run(args);
    expect(code).toBe(0);
    const report = JSON.parse(out) as { results: Record<string, unknown>[] };
    expect(report).toMatchObject({ model: "Fairy Tales 5.8M", cpu: expect.any(String) as string });
    expect(report).toHaveProperty("peakMemoryMiB");
    expect(report.results.map(({ test, tokens, threads }) => [test, tokens, threads])).toEqual([
      ["prefill", 64, 1],
      ["decode", 8, 1],
      ["prefill", 64, 2],
      ["decode", 8, 2],
    ]);
    for (const result of report.results) {
      expect(Object.keys(result)).toEqual([
        ...["test", "tokens", "context", "threads", "kernel", "tokensPerSecond"],
        ...["weightBytesPerToken", "gigabytesPerSecond", "gigamacsPerSecond"],
      ]);
      expect(result.tokensPerSecond).toBeGreaterThan(0);
    }
  }, 60_000);
});
