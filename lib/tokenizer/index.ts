export { tokenizerFromFolder } from "./folder_tokenizer";
export { readSentencePieceModel, type SentencePieceOptions } from "./sentencepiece_model";
export { tokenizerFromGguf } from "./gguf_tokenizer";
export { tokenizerFromJson, type TokenizerJsonOptions } from "./json_tokenizer";
export type { KeptTables } from "./kept_tables";
export { tokensBeyond } from "./too_long";
export type { DecodeOptions, Detokenizer, EncodeOptions, Tokenizer } from "./types";
export { Slicer } from "./slices";
