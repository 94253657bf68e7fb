export { MetadataView, type NumberRange } from "./metadata";
export { readGguf, type ReadGgufOptions } from "./reader";
export { StringTable, type StringList } from "./string_table";
export { TENSOR_TYPES, tensorTypeByName, tensorTypesById, type TensorType } from "./tensor_types";
export { readTokenizerInfo } from "./tokenizer_metadata";
export type { GgufArray, GgufFile, GgufTensor, GgufValue, GgufValueType } from "./types";
export { TokenType, type GgufVocabulary } from "./vocabulary";
export { writeGguf, type GgufContent, type TensorSource, type WriteGgufOptions } from "./writer";
