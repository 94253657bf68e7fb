// What is run in each runtime: the programs in project/, all of which print the same story.
import { join } from "node:path";

/** A digest of the bundled model's greedy continuation; that it is the same everywhere is checked where these are run. */
const STORY = /^OK [0-9a-f]{16}\n$/;

/**
 * @param {string} project folder that the package is installed in
 * @param {string} tsc TypeScript's compiler
 * @returns {{ name: string, args: string[], expected: RegExp, only?: string[] }[]}
 */
export function cases(project, tsc) {
  const cli = join(project, "node_modules/node-bitnet/dist/cli/main.js");
  return [
    { name: "require", args: ["story.cjs"], expected: STORY },
    { name: "import", args: ["story.mjs"], expected: STORY },
    { name: "worker thread", args: ["worker.cjs"], expected: STORY },
    { name: "workers ended at any time", args: ["workers.cjs"], expected: STORY },
    { name: "CLI: --version", args: [cli, "--version"], expected: /^\d+\.\d+\.\d+/ },
    {
      name: "CLI: generate",
      args: [cli, "generate", "Once", "--temperature", "0", "--max-tokens", "8"],
      expected: /\w/,
    },
    { name: "CLI: doctor", args: [cli, "doctor", "--json", "--quick"], expected: /"ok": true/ },
    { name: "types, node16", args: [tsc, "-p", "tsconfig.node16.json"], expected: /^$/, only: ["node"] },
    { name: "types, bundler", args: [tsc, "-p", "tsconfig.bundler.json"], expected: /^$/, only: ["node"] },
    { name: "TypeScript, compiled", args: ["out/typed.js"], expected: STORY, only: ["node"] },
  ];
}
