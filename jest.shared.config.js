"use strict";

/** Comparison with reference data kept outside the repository (BITNET_SHARED, default ../shared). */
/** @type {import("jest").Config} */
module.exports = {
  ...require("./jest.config.js"),
  testMatch: ["<rootDir>/test/shared/**/*.test.ts"],
  testPathIgnorePatterns: ["/node_modules/"],
};
