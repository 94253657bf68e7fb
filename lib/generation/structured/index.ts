export { Constraint } from "./constraint";
export { checkFormat, type TextFormat } from "./format";
export { parseValue, resolveSchema, type SchemaLike, type ValueOf } from "./schema";
export type { JsonSchema } from "./json_schema";
