import * as fc from "fast-check";
import { describeModel } from "../../../lib/architectures";
import { readGguf, readTokenizerInfo } from "../../../lib/files/gguf";
import { anyHeaders, damagedModels, modelBytes, type DamagedModel } from "../gguf_files";
import { bytesOf, damaged, fileOf, refusable, type Bytes, type Target } from "../target";

/** GGUF headers, what they say of the model, and of the vocabulary. */
export const ggufTarget: Target<Bytes | DamagedModel> = {
  name: "gguf",
  covers: ["lib/files/gguf/", "lib/architectures/"],
  weight: 3,
  inputs: fc.oneof(damaged(anyHeaders, 2), damagedModels),
  async check(input) {
    const path = fileOf("header.gguf", typeof input === "string" ? bytesOf(input) : modelBytes(input));
    await refusable(() => readGguf(path, { allowUnknownTypes: true }));
    const file = await refusable(() => readGguf(path));
    if (!file) return;
    for (const { offset, byteLength } of file.tensors) {
      if (!(offset >= 0 && offset + byteLength <= file.size)) throw new Error("A tensor lies beyond the file");
    }
    await refusable(() => describeModel(file));
    await refusable(() => readTokenizerInfo(file));
  },
};
