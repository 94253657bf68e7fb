import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { Model } from "../../../lib";
import { writeTinyModel } from "../../helpers/tiny_model";
import {
  anyJson,
  apply,
  bytesOf,
  edgeNumber,
  edit,
  fileOf,
  refusable,
  workFolder,
  type Bytes,
  type Edit,
  type Target,
} from "../target";

/** The parts of a file, its hash right: what is behind the hash is reached. */
interface Parts {
  /** In place of the sound header's. */
  header: Record<string, unknown>;
  /** They repeat, as often as the header's blocks need. */
  tokens: number[];
  blocks: Bytes;
}

type Input = { edits: Edit[] } | { parts: Parts };

interface Ready {
  model: Model;
  sound: Buffer;
  header: Record<string, unknown>;
  canary: string;
}

const QUESTION = "Once upon a time there was a very small king who lived in a very large house of stone";
let ready: Promise<Ready> | undefined;

async function prepare(): Promise<Ready> {
  const path = join(workFolder(), "state-model.gguf");
  writeTinyModel(path, { heads: 2, kvHeads: 1, headDim: 16, width: 128, ffn: 128, layers: 1, context: 256 });
  const model = await Model.load(path, { threads: 1, kernel: "scalar" });
  using chat = model.chat({ template: "story", temperature: 0, maxTokens: 20, ignoreEos: true });
  await chat.ask(QUESTION);
  const state = join(workFolder(), "sound.state");
  await model.saveState(chat, state);
  const sound = readFileSync(state);
  const header = JSON.parse(sound.subarray(16, 16 + sound.readUInt32LE(12)).toString()) as Record<string, unknown>;
  // Else every forged file would be refused for its form, and nothing behind would be tried.
  const forged = fileOf("forged.state", fileFrom(sound, header, { header: {}, tokens: [65], blocks: "AAAA" }));
  (await model.loadState(forged)).close();
  model.clearPrefixCache();
  return { model, sound, header, canary: await answer(model) };
}

async function answer(model: Model): Promise<string> {
  return String((await model.generate("What was the canary", { maxTokens: 6, temperature: 0 })).tokens);
}

/** A count that memory is taken for here; others are told in the header only. */
function small(value: unknown, most: number): number {
  return typeof value === "number" && value >= 0 && value <= most ? Math.floor(value) : 0;
}

/** From the format's description in lib/engine/state_file.ts. */
function fileFrom(sound: Buffer, soundHeader: Record<string, unknown>, parts: Parts): Buffer {
  const header: Record<string, unknown> = { ...soundHeader, ...parts.header };
  const json = Buffer.from(JSON.stringify(header));
  const head = Buffer.from(sound.subarray(0, 16));
  head.writeUInt32LE(json.length, 12);
  const count = small(header.blocks, 64);
  const ids = Buffer.alloc(count * 32 * 4);
  const { tokens } = parts;
  for (let i = 0; i < ids.length / 4; i++) ids.writeInt32LE((tokens[i % Math.max(1, tokens.length)] ?? 0) | 0, i * 4);
  const data = Buffer.alloc(count * small(header.blockBytes, 65536), bytesOf(parts.blocks));
  const body = Buffer.concat([head, json, ids, data]);
  return Buffer.concat([body, createHash("sha256").update(body).digest()]);
}

const HEADER = ["model", "modelName", "kvType", "blockBytes", "blocks", "content"] as const;
const content = fc.record(
  {
    kind: fc.oneof(fc.constant("chat"), anyJson),
    template: fc.oneof(fc.constantFrom("story", "{{ messages[0].content }}", null), anyJson),
    messages: fc.oneof(
      fc.array(fc.record({ role: fc.constantFrom("user", "assistant", "tool", "system"), content: fc.string() })),
      anyJson,
    ),
    forgotten: edgeNumber,
    openCalls: fc.oneof(fc.constant([]), anyJson),
  },
  { requiredKeys: ["kind", "template", "messages"] },
);

/** Saved conversations: damaged, and forged so that sizes and hash are right. */
export const stateTarget: Target<Input> = {
  name: "state",
  covers: ["lib/engine/state_file.ts", "lib/engine/saved_sequence.ts", "lib/chat/saved_session.ts"],
  weight: 2,
  inputs: fc.oneof(
    fc.record({ edits: fc.array(edit, { minLength: 1, maxLength: 4 }) }),
    fc.record({
      parts: fc.record({
        header: fc.oneof(
          fc.record({ blocks: fc.nat(12) }),
          fc.record({ blocks: fc.nat(3), content }),
          fc.dictionary(fc.constantFrom(...HEADER), anyJson, { maxKeys: 2 }),
        ),
        tokens: fc.array(fc.oneof(fc.integer({ min: -1, max: 264 }), edgeNumber), { maxLength: 40 }),
        blocks: fc.base64String({ minLength: 4, maxLength: 64 }),
      }),
    }),
  ),
  async check(input) {
    const { model, sound, header, canary } = await (ready ??= prepare());
    const file = "edits" in input ? input.edits.reduce(apply, sound) : fileFrom(sound, header, input.parts);
    const chat = await refusable(() => model.loadState(fileOf("any.state", file)));
    if (chat) {
      try {
        await refusable(() => chat.ask("And", { maxTokens: 4 }));
        await refusable(() => model.saveState(chat, join(workFolder(), "again.state")));
      } finally {
        chat.close();
      }
    }
    model.clearPrefixCache();
    const { free, total } = model.stats().kvBlocks;
    if (free !== total) throw new Error(`${total - free} KV blocks are left`);
    if ((await answer(model)) !== canary) throw new Error("Another text changed");
  },
  async close() {
    await (await ready)?.model.close();
    ready = undefined;
  },
};
