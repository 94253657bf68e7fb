export { compileForm, type CompiledForm } from "./compiled_form";
export { Constraint } from "./constraint";
export { formOf, type Form, type LateForm, type Trigger } from "./form";
export { TriggerSearch } from "./trigger_search";
export { checkFormat, type TextFormat } from "./format";
export { parseValue, parseWith, resolveSchema, type SchemaLike, type ValueOf } from "./schema";
export * as expressions from "./expression";
export type { Expression } from "./expression";
export { colon, comma, compileJsonSchema, type JsonSchema } from "./json_schema";
