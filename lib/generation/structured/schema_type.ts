/** Type-level reading of JSON schemas that are written as constants: what values of a schema are in TypeScript. */

type Fields = Readonly<Record<string, unknown>>;

/**
 * The type of the values that a JSON schema describes, as far as its keywords are known to the compiler: `type`, `enum`,
 * `const`, `properties`, `required`, `items`, `prefixItems`, `anyOf`, `oneOf`. Unknown for all else, references and `allOf`
 * among it.
 */
export type FromSchema<S> = S extends { readonly const: infer C }
  ? C
  : S extends { readonly enum: readonly (infer E)[] }
    ? E
    : S extends { readonly anyOf: readonly (infer A)[] }
      ? FromSchema<A>
      : S extends { readonly oneOf: readonly (infer O)[] }
        ? FromSchema<O>
        : S extends { readonly $ref: unknown } | { readonly allOf: unknown }
          ? unknown
          : S extends { readonly type: infer T }
            ? T extends readonly (infer U)[]
              ? OfType<U, S>
              : OfType<T, S>
            : unknown;

/** T is one of the type names, or a union of them, which is taken apart. */
type OfType<T, S> = string extends T
  ? unknown
  : T extends "string"
    ? string
    : T extends "number" | "integer"
      ? number
      : T extends "boolean"
        ? boolean
        : T extends "null"
          ? null
          : T extends "array"
            ? ArrayOf<S>
            : T extends "object"
              ? ObjectOf<S>
              : unknown;

type ArrayOf<S> = S extends { readonly prefixItems: infer P extends readonly unknown[] }
  ? [
      ...{ -readonly [K in keyof P]: FromSchema<P[K]> },
      ...(S extends { readonly items: infer I } ? FromSchema<I>[] : []),
    ]
  : S extends { readonly items: infer I }
    ? FromSchema<I>[]
    : unknown[];

type ObjectOf<S> = S extends { readonly properties: infer P extends Fields }
  ? Flat<
      { -readonly [K in keyof P as K extends RequiredOf<S> ? K : never]: FromSchema<P[K]> } & {
        -readonly [K in keyof P as K extends RequiredOf<S> ? never : K]?: FromSchema<P[K]>;
      }
    >
  : S extends { readonly additionalProperties: infer A extends Fields }
    ? Record<string, FromSchema<A>>
    : Record<string, unknown>;

type RequiredOf<S> = S extends { readonly required: readonly (infer R)[] } ? R : never;

type Flat<T> = { [K in keyof T]: T[K] };
