export { convertToGguf, type ConversionReport, type ConvertOptions } from "./convert";
export type { TernaryFormat } from "./packing";
export type { DenseFormat } from "./weights";
