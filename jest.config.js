"use strict";

/** Unit and integration tests: everything a clean clone can run by itself. */
/** @type {import("jest").Config} */
module.exports = {
  testEnvironment: "node",
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
