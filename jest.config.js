"use strict";

/** Unit and integration tests: everything a clean clone can run by itself. */
/** @type {import("jest").Config} */
module.exports = {
  testEnvironment: "node",
  // Loading measures kernels: on a busy machine the default of 5 s is short.
  testTimeout: 30_000,
  testMatch: ["<rootDir>/test/**/*.test.ts"],
  testPathIgnorePatterns: ["/node_modules/", "<rootDir>/test/shared/", "<rootDir>/test/faults/"],
  modulePathIgnorePatterns: ["<rootDir>/dist/", "<rootDir>/build"],
  transform: {
    "^.+\\.ts$": [
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
