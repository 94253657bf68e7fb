import { join } from "node:path";
import * as fc from "fast-check";
import { loadAddon } from "../../../lib/addon";
import { describeModel } from "../../../lib/architectures";
import { readGguf } from "../../../lib/files/gguf";
import type { NativeContext, NativeModel } from "../../../types/addon";
import { TINY_VOCABULARY, writeTinyModel } from "../../helpers/tiny_model";
import { answered, anyJson, damagedJson, edgeNumber, fileOf, workFolder, type Target } from "../target";

interface Input {
  spec: { at: number; value: unknown; drop: boolean }[];
  options: unknown;
  /** Settings of the packed cache but its path, which is one of this process's own. */
  cache?: unknown;
  context: unknown;
  calls: { name: string; arguments: unknown[] }[];
}

const path = fileOf("addon.gguf", "");
writeTinyModel(path, { heads: 2, kvHeads: 1, headDim: 16, width: 128, ffn: 128, layers: 1 });
const sound = readGguf(path).then(describeModel);
const cacheFile = join(workFolder(), "addon-packed-weights");

const typed = fc.record({
  type: fc.constantFrom("Int32Array", "Uint8Array", "Float32Array", "Float64Array"),
  values: fc.array(fc.oneof(fc.integer({ min: -1, max: 264 }), edgeNumber), { maxLength: 40 }),
});
/** 32-bit words of a mask of the tiny model's tokens. */
const MASK_WORDS = Math.ceil(TINY_VOCABULARY / 32);
/** Masks, and which of them each of some outputs has. */
const masksFor = (outputs: number): fc.Arbitrary<{ masks: unknown; maskOf: unknown }> =>
  fc.integer({ min: 1, max: 3 }).chain((count) =>
    fc.record({
      masks: fc
        .array(fc.oneof(fc.constantFrom(0, -1, 1), fc.integer()), {
          minLength: count * MASK_WORDS,
          maxLength: count * MASK_WORDS,
        })
        .map((values) => ({ type: "Int32Array", values })),
      maskOf: fc
        .array(fc.integer({ min: -1, max: count - 1 }), { minLength: outputs, maxLength: outputs })
        .map((values) => ({ type: "Int32Array", values })),
    }),
  );
const ones = fc
  .nat(40)
  .chain((length) => fc.array(fc.nat(4), { minLength: length, maxLength: length }))
  .chain((want) =>
    fc
      .record({
        tokens: fc.constant({ type: "Int32Array", values: Array<number>(want.length).fill(65) }),
        sequences: fc.constant({ type: "Int32Array", values: Array<number>(want.length).fill(1) }),
        want: fc.constant({ type: "Uint8Array", values: want }),
        candidates: fc.oneof(fc.nat(300), edgeNumber),
        masked: fc.oneof(fc.constant({}), masksFor(want.filter((each) => each === 1).length)),
      })
      .map(({ masked, ...rest }) => ({ ...rest, ...masked })),
  );
const batch = fc.oneof(
  ones,
  ones,
  fc.record(
    {
      tokens: typed,
      sequences: typed,
      want: typed,
      candidates: anyJson,
      temperatures: typed,
      extraIds: typed,
      extraOffsets: typed,
      logSumExp: anyJson,
      masks: typed,
      maskOf: typed,
    },
    { requiredKeys: [] },
  ),
);
const ENTRY_POINTS = [
  ...["tune", "benchKernel", "probeDotProducts", "probeBandwidth", "createContext", "writeCache", "takeIn", "close"],
  ...["statistics", "formats", "cpu", "kernels", "peakMemoryBytes"],
];
const call = fc.oneof(
  fc.record({ name: fc.constant("forward"), arguments: fc.tuple(batch) }),
  fc.record({
    name: fc.constantFrom(
      "createSequence",
      "forkSequence",
      "truncateSequence",
      "releaseSequence",
      "sequenceLength",
      "readBlock",
      "appendBlock",
      "cancel",
      "lastLogits",
      "freeBlocks",
    ),
    arguments: fc.array(fc.oneof(fc.integer({ min: 0, max: 40 }), anyJson, typed), { maxLength: 2 }),
  }),
  fc.record({
    name: fc.constant("appendBlock"),
    arguments: fc.tuple(
      fc.integer({ min: 0, max: 3 }),
      fc.nat(255).map((byte) => ({ type: "Block", values: [byte] })),
    ),
  }),
  fc.record({
    name: fc.constantFrom(...ENTRY_POINTS),
    arguments: fc.array(anyJson, { maxLength: 2 }),
  }),
);

const TYPES = { Int32Array, Uint8Array, Float32Array, Float64Array };

/** Typed arrays in place of their descriptions; "Block" stands for the bytes of one of the KV cache. */
function revive(value: unknown, blockBytes: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  const { type, values } = value as { type?: keyof typeof TYPES | "Block"; values?: number[] };
  if (type === "Block") return new Uint8Array(blockBytes).fill(values?.[0] ?? 0);
  if (type !== undefined && Array.isArray(values) && Object.hasOwn(TYPES, type)) return TYPES[type].from(values);
  return Array.isArray(value)
    ? value
    : Object.fromEntries(Object.entries(value).map(([key, each]) => [key, revive(each, blockBytes)]));
}

/** The addon's functions with values of any kind: what a fault in TypeScript could hand over. */
export const addonTarget: Target<Input> = {
  name: "addon",
  covers: ["lib/addon.ts"],
  weight: 2,
  inputs: fc.record({
    spec: fc.array(fc.record({ at: fc.nat(10_000), value: anyJson, drop: fc.boolean() }), { maxLength: 2 }),
    options: fc.oneof(
      { weight: 4, arbitrary: fc.constant({ threads: 1, kernel: "scalar" }) },
      damagedJson(fc.constant({ threads: 1, kernel: "scalar", head: "sketch", sparsity: true, prefetch: 0 })),
    ),
    cache: fc.option(damagedJson(fc.constant({ key: "fuzz", mapped: true, residentBytes: 4096 })), {
      freq: 2,
      nil: undefined,
    }),
    context: fc.oneof(
      {
        weight: 4,
        arbitrary: fc.constant({ threads: 2, kvType: "f16", kvBlocks: 4, maxBatchTokens: 32, maxSequenceLength: 100 }),
      },
      damagedJson(fc.constant({ threads: 2, kvType: "f32", kvBlocks: 4, maxBatchTokens: 32, maxSequenceLength: 100 })),
    ),
    calls: fc.array(call, { maxLength: 10 }),
  }),
  async check({ spec: changes, options, cache, context: contextOptions, calls }) {
    const addon = loadAddon();
    const spec = structuredClone(await sound);
    for (const { at, value, drop } of changes) change(spec, at, value, drop);
    const limited =
      typeof options === "object" && options !== null
        ? {
            ...options,
            threads: Math.min(Number((options as { threads?: unknown }).threads), 4),
            ...(typeof cache === "object" && cache !== null && { cache: { ...cache, path: cacheFile } }),
          }
        : options;
    const model = (await answered(() => addon.loadModel(spec, limited as never).promise)) as NativeModel | undefined;
    if (!model) return;
    const context = (await answered(() => model.createContext(bounded(contextOptions) as never))) as
      NativeContext | undefined;
    if (context) {
      context.createSequence();
      await Promise.all(
        calls.map(({ name, arguments: given }) => answered(() => invoke({ addon, model, context }, name, given))),
      );
      context.close();
    }
    model.close();
  },
};

/** Keeps sizes that are legal but would take this machine's memory. */
function bounded(options: unknown): unknown {
  if (typeof options !== "object" || options === null) return options;
  const { kvBlocks, threads } = options as { kvBlocks?: unknown; threads?: unknown };
  const capped = { ...options } as Record<string, unknown>;
  if (typeof kvBlocks === "number" && kvBlocks > 4096 && kvBlocks < 2 ** 25) capped.kvBlocks = 4096;
  if (typeof threads === "number" && threads > 8 && threads <= 256) capped.threads = 8;
  return capped;
}

function invoke(
  { addon, model, context }: { addon: object; model: object; context: NativeContext },
  name: string,
  given: unknown[],
): unknown {
  const owner = [context, model, addon].find((each) => name in each) as Record<string, unknown> | undefined;
  const member = owner?.[name];
  if (typeof member !== "function") return member;
  const revived = given.map((each) => revive(each, context.blockBytes));
  // What is legal but would take this machine's memory.
  if (name === "probeBandwidth" && Number(revived[0]) > 2 ** 24) revived[0] = 2 ** 24;
  const result: unknown = member.apply(owner, revived);
  return (result as { promise?: unknown } | undefined)?.promise ?? result;
}

function change(root: object, at: number, value: unknown, drop: boolean): void {
  const places: { owner: Record<string, unknown>; key: string }[] = [];
  const visit = (owner: object): void => {
    for (const [key, each] of Object.entries(owner)) {
      places.push({ owner: owner as Record<string, unknown>, key });
      if (typeof each === "object" && each !== null) visit(each as object);
    }
  };
  visit(root);
  const place = places[at % places.length];
  if (!place) return;
  if (drop) Reflect.deleteProperty(place.owner, place.key);
  else place.owner[place.key] = value;
}
