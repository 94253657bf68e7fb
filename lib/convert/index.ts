export { convertToGguf, type ConversionReport, type ConvertOptions } from "./convert";
export { DENSE_TYPES, type DenseFormat } from "./dense";
export { TERNARY_TYPES, type TernaryFormat } from "./packing";
