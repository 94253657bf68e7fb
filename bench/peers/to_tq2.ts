/**
 * `node -r @swc-node/register bench/peers/to_tq2.ts IN OUT`: rewrites an I2_S model (bitnet architecture, columns a multiple
 * of 256) as TQ2_0 under the name that llama.cpp knows, so that a peer runs the same codes. llama.cpp computes SiLU where
 * the model wants squared ReLU: good for timing, not for text.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { readGguf, writeGguf, type GgufTensor, type GgufValue, type TensorSource } from "../../lib/files/gguf";

const PIECE = 1 << 22;
const BLOCK = 256;

/** An I2_S byte holds its four codes from the top down, a TQ2_0 byte from the bottom up; the rest is the same order. */
const REVERSED = Uint8Array.from(
  { length: 256 },
  (_, byte) => ((byte & 3) << 6) | ((byte & 12) << 2) | ((byte >> 2) & 12) | (byte >> 6),
);

/** f32 -> f16 for normal values, truncated. */
function toHalf(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0] as number;
  return ((bits >>> 16) & 0x8000) | ((((bits >>> 23) & 255) - 112) << 10) | ((bits >>> 13) & 0x3ff);
}

function* bytes(file: number, offset: number, length: number): Generator<Buffer> {
  for (let at = 0; at < length; at += PIECE) {
    const piece = Buffer.alloc(Math.min(PIECE, length - at));
    readSync(file, piece, 0, piece.length, offset + at);
    yield piece;
  }
}

function* toTq2(file: number, tensor: GgufTensor): Generator<Buffer> {
  const elements = tensor.dims.reduce((product, dim) => product * dim, 1);
  const scale = Buffer.alloc(4);
  readSync(file, scale, 0, 4, tensor.offset + elements / 4);
  const half = toHalf(scale.readFloatLE());
  for (const codes of bytes(file, tensor.offset, elements / 4)) {
    const blocks = codes.length / 64;
    const out = Buffer.alloc(blocks * 66);
    for (let b = 0; b < blocks; b++) {
      for (let i = 0; i < 64; i++) out[b * 66 + i] = REVERSED[codes[b * 64 + i] as number] as number;
      out.writeUInt16LE(half, b * 66 + 64);
    }
    yield out;
  }
}

async function main(): Promise<void> {
  const [input, output] = process.argv.slice(2);
  if (input === undefined || output === undefined) throw new Error("Usage: to_tq2.ts IN OUT");
  const gguf = await readGguf(input);
  const file = openSync(input, "r");
  const metadata = new Map<string, GgufValue>();
  for (const [key, value] of gguf.metadata) {
    if (key.endsWith(".hidden_activation")) continue;
    metadata.set(key.replace(/^bitnet-b1\.58\./, "bitnet."), value);
  }
  metadata.set("general.architecture", { type: "string", value: "bitnet" });
  metadata.set("general.file_type", { type: "uint32", value: 37 });
  const tensors: TensorSource[] = gguf.tensors.map((tensor) => {
    const ternary = tensor.format === "i2_s";
    if (ternary && (tensor.dims[0] as number) % BLOCK !== 0) {
      throw new Error(`${tensor.name} has ${String(tensor.dims[0])} columns, no multiple of ${String(BLOCK)}.`);
    }
    return {
      name: tensor.name,
      dims: tensor.dims,
      format: ternary ? "tq2_0" : tensor.format,
      data: () => (ternary ? toTq2(file, tensor) : bytes(file, tensor.offset, tensor.byteLength)),
    };
  });
  console.log(`${output}: ${String(await writeGguf(output, { metadata, tensors }))} bytes`);
  closeSync(file);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
