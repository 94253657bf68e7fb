export { tokenizerFromGguf } from "./gguf_tokenizer";
export { tokenizerFromJson, type TokenizerJsonOptions } from "./json_tokenizer";
export type { DecodeOptions, Detokenizer, EncodeOptions, Tokenizer } from "./types";
