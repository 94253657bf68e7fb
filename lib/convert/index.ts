export { convertToGguf, type ConversionReport, type ConvertOptions } from "./convert";
export type { DenseFormat } from "./weights";
