"use strict";

const TYPED_ARRAYS = [
  "Int8Array",
  "Uint8Array",
  "Int32Array",
  "Uint32Array",
  "Float32Array",
  "Float64Array",
  "DataView",
];

const ES_MODULES = ["ai", "@ai-sdk/[^/]+", "@workflow/serde", "zod"];

/** Unit and integration tests: everything a clean clone can run by itself. */
/** @type {import("jest").Config} */
module.exports = {
  testEnvironment: "node",
  // Each file runs in a context of its own, where it takes long to look a global object up: these are in the way of arithmetic.
  sandboxInjectedGlobals: ["Math", "Number", "Array", "Object", ...TYPED_ARRAYS],
  // Loading measures kernels: on a busy machine the default of 5 s is short.
  testTimeout: 30_000,
  testMatch: ["<rootDir>/test/**/*.test.ts"],
  testPathIgnorePatterns: ["/node_modules/", "<rootDir>/test/shared/", "<rootDir>/test/faults/"],
  modulePathIgnorePatterns: ["<rootDir>/dist/", "<rootDir>/build"],
  // Version 7 of the AI SDK is published as ES modules only, which jest cannot require; it reads one of zod too.
  transformIgnorePatterns: [`/node_modules/(?!(?:${ES_MODULES.join("|")})/)`],
  transform: {
    [`^.+\\.ts$|/node_modules/(?:${ES_MODULES.join("|")})/.+\\.js$`]: [
      "@swc/jest",
      {
        jsc: {
          parser: { syntax: "typescript", explicitResourceManagement: true },
          // Same level as tsconfig.json, so that tests run what the build emits.
          target: "es2022",
        },
        module: { type: "commonjs" },
      },
    ],
  },
};
