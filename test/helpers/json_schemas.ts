/** Twenty JSON schemas as applications write them: nested, enums, arrays, numbers, patterns, alternatives, references. */
export const SCHEMAS: Readonly<Record<string, Record<string, unknown>>> = {
  person: {
    type: "object",
    properties: {
      name: { type: "string", minLength: 1, maxLength: 20 },
      age: { type: "integer", minimum: 0, maximum: 120 },
      email: { type: "string", format: "email", maxLength: 30 },
    },
    required: ["name", "age"],
    additionalProperties: false,
  },
  sentiment: {
    type: "object",
    properties: {
      label: { enum: ["positive", "neutral", "negative"] },
      score: { type: "number", minimum: 0, maximum: 1 },
    },
    required: ["label", "score"],
  },
  nested: {
    type: "object",
    properties: {
      a: {
        type: "object",
        properties: {
          b: {
            type: "object",
            properties: { c: { type: "array", items: { type: "boolean" }, maxItems: 3 } },
            required: ["c"],
          },
        },
        required: ["b"],
      },
    },
    required: ["a"],
  },
  tags: { type: "array", items: { type: "string", pattern: "^[a-z]{2,8}(-[a-z]{2,8})?$" }, minItems: 1, maxItems: 4 },
  matrix: {
    type: "array",
    items: { type: "array", items: { type: "number", minimum: -1, exclusiveMaximum: 1 }, minItems: 2, maxItems: 2 },
    minItems: 2,
    maxItems: 2,
  },
  invoice: {
    type: "object",
    properties: {
      number: { type: "string", pattern: "^INV-\\d{4}-[A-F0-9]{6}$" },
      date: { type: "string", format: "date" },
      lines: {
        type: "array",
        minItems: 1,
        maxItems: 3,
        items: {
          type: "object",
          properties: {
            article: { type: "string", maxLength: 16 },
            count: { type: "integer", exclusiveMinimum: 0, maximum: 999 },
            price: { type: "number", exclusiveMinimum: 0, maximum: 9999.5 },
          },
          required: ["article", "count", "price"],
          additionalProperties: false,
        },
      },
    },
    required: ["number", "date", "lines"],
    additionalProperties: false,
  },
  shape: {
    oneOf: [
      {
        type: "object",
        properties: { kind: { const: "circle" }, radius: { type: "number", exclusiveMinimum: 0, maximum: 100 } },
        required: ["kind", "radius"],
      },
      {
        type: "object",
        properties: {
          kind: { const: "box" },
          width: { type: "integer", minimum: 1, maximum: 64 },
          height: { type: "integer", minimum: 1, maximum: 64 },
        },
        required: ["kind", "width", "height"],
      },
    ],
  },
  identified: {
    allOf: [
      { $ref: "#/$defs/entity" },
      {
        type: "object",
        properties: { title: { type: "string", maxLength: 12 }, id: { maximum: 500 } },
        required: ["title"],
      },
    ],
    $defs: {
      entity: { type: "object", properties: { id: { type: "integer", minimum: 100 } }, required: ["id"] },
    },
  },
  tree: {
    $ref: "#/$defs/node",
    $defs: {
      node: {
        type: "object",
        properties: {
          value: { type: "integer", minimum: -9, maximum: 9 },
          children: { type: "array", items: { $ref: "#/$defs/node" }, maxItems: 2 },
        },
        required: ["value"],
        additionalProperties: false,
      },
    },
  },
  nullable: {
    type: "object",
    properties: {
      a: { type: ["integer", "null"], minimum: 5, maximum: 7 },
      b: { anyOf: [{ type: "string", maxLength: 5 }, { type: "null" }] },
      c: { type: ["boolean", "null"] },
    },
    required: ["a", "b", "c"],
  },
  tuple: {
    type: "array",
    prefixItems: [
      { type: "string", maxLength: 6 },
      { type: "integer", minimum: 1900, maximum: 2100 },
      { enum: [1, "1", null, [1]] },
    ],
    items: { type: "boolean" },
    minItems: 3,
    maxItems: 5,
  },
  scores: {
    type: "object",
    propertyNames: { minLength: 1, maxLength: 12 },
    additionalProperties: { type: "integer", minimum: 0, maximum: 10 },
    maxProperties: 3,
  },
  coordinates: {
    type: "object",
    properties: {
      latitude: { type: "number", minimum: -90, maximum: 90 },
      longitude: { type: "number", minimum: -180, maximum: 180 },
    },
    required: ["latitude", "longitude"],
    additionalProperties: false,
  },
  clock: {
    type: "object",
    properties: {
      at: { type: "string", format: "date-time" },
      address: { type: "string", format: "ipv4" },
      key: { type: "string", format: "uuid" },
    },
    required: ["at", "address", "key"],
  },
  weekdays: {
    type: "array",
    items: { enum: ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] },
    uniqueItems: true,
    minItems: 1,
    maxItems: 3,
  },
  steps: { type: "integer", multipleOf: 5, minimum: -100, maximum: 1000 },
  bounded: { type: "string", minLength: 3, maxLength: 10, pattern: "^[A-Z]" },
  optional: {
    type: "object",
    properties: { a: { const: 1 }, b: { const: 2 }, c: { const: 3 }, d: { const: 4 } },
    minProperties: 2,
    maxProperties: 3,
    additionalProperties: false,
  },
  unicode: {
    type: "object",
    properties: {
      word: { type: "string", pattern: "^[äöüß\\u4e00-\\u4e05a-c]{1,6}$" },
      'quo"te\\d': { const: 'a"b\\c\n' },
    },
    required: ["word", 'quo"te\\d'],
  },
  ranked: {
    type: "object",
    properties: {
      title: { type: "string", maxLength: 24 },
      rank: { anyOf: [{ type: "integer", minimum: 1, maximum: 5 }, { enum: ["unranked"] }] },
      ratio: { type: "number", exclusiveMinimum: 0.1, exclusiveMaximum: 0.25 },
      parts: { type: "array", items: { $ref: "#/$defs/part" }, minItems: 1, maxItems: 2 },
    },
    required: ["title", "rank", "ratio", "parts"],
    $defs: {
      part: {
        type: "object",
        properties: {
          name: { enum: ["intro", "body", "end"] },
          pages: { type: "array", items: { type: "integer", minimum: 1, maximum: 99 }, minItems: 2, maxItems: 2 },
        },
        required: ["name", "pages"],
        additionalProperties: false,
      },
    },
  },
};
