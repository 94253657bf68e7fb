// Runs all of examples/ as a user would: copied into an empty folder outside the repository, with the packed tarball and
// the packages that they name installed from npm.
//
// Usage: npm run test:examples [-- --runtimes A,B]    after `npm run build`. --runtimes: also in those of
// test/install/runtimes.mjs whose names contain one of the words. The last line reads "<n> passed, <n> failed".
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { findRuntimes } from "../test/install/runtimes.mjs";
import { npm, pack, root } from "./packing.mjs";

/** What the examples import besides the package, in the versions that the repository tests with where it has them. */
const PACKAGES = ["ai", "express", "fastify", "openai", "zod"];
const LONGEST_MS = 120_000;

/** Every example: what it prints, or what its server answers. */
const EXAMPLES = {
  "ai_sdk.mjs": { prints: /\w+.*\n.+ is a (fox|hare|owl), \d+ years old\.\nking and queen: -?0\.\d{3}\n$/s },
  "batch_file.mjs": { args: ["prompts.jsonl", "answers.jsonl"], prints: /^\d+ tokens in \d+ steps\n$/, after: answers },
  "chat_tools.mjs": {
    prints:
      /^stock\{"thing": ?"\w+"\} -> \{"pieces":\d\}\n.+\nto be agreed: order \{\s+thing: ['"]\w+['"],\s+pieces: [1-9],?\s+\}\n.+\n$/s,
  },
  "embeddings_search.mjs": { prints: /^(-?[01]\.\d{3} [A-Z].*\.\n){3}$/ },
  "express_server.mjs": {
    server: { "/story?prompt=Once": /^\s?\w/, "/events": /^data: \{"text":.*\ndata: \[DONE\]\n\n$/s },
  },
  "fastify_server.mjs": { server: { "/story": /^data: \{"text":.*\ndata: \[DONE\]\n\n$/s, "/llm/v1/models": /fairy/ } },
  "json_extraction.mjs": { prints: /^(\{"who":"[^"]{2,}.*"mood":"(happy|sad|angry)".*"year":1\d{3}\}\n){2}$/ },
  "openai_client.mjs": { beside: ["node_modules/node-bitnet/dist/cli/main.js", "serve", "--port", "0"], prints: /\w/ },
};

const { values } = parseArgs({ options: { runtimes: { type: "string" } } });
let passed = 0;
let failed = 0;
const work = mkdtempSync(join(tmpdir(), "node-bitnet-examples-"));
try {
  install();
  const files = readdirSync(join(root, "examples")).filter((name) => /\.[cm]?js$/.test(name));
  const words = values.runtimes?.split(",");
  for (const runtime of findRuntimes(join(root, "build-install"), words === undefined, words)) {
    if (runtime.missing !== undefined) console.log(`skip ${runtime.name}: ${runtime.missing}`);
    else for (const name of new Set([...files, ...Object.keys(EXAMPLES)])) await check(runtime, name);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function install() {
  const { tarball } = pack(work);
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const versions = { ...dependencies, ...devDependencies };
  const packages = PACKAGES.map((name) => (versions[name] ? `${name}@${versions[name]}` : name));
  writeFileSync(join(work, "package.json"), '{ "name": "examples", "private": true }\n');
  npm(work, process.env, "install", "--no-audit", "--no-fund", "--ignore-scripts", tarball, ...packages);
  cpSync(join(root, "examples"), work, { recursive: true });
  const prompts = [
    { id: 1, prompt: "Once" },
    { id: 2, prompt: "The king", maxTokens: 5 },
    { id: 3, prompt: 7 },
  ];
  writeFileSync(join(work, "prompts.jsonl"), prompts.map((each) => `${JSON.stringify(each)}\n`).join(""));
}

async function check({ name: runtime, command }, name) {
  try {
    const example = EXAMPLES[name];
    if (!example) throw new Error("it is not listed in scripts/test-examples.mjs");
    if (example.server) await checkServer(command, name, example.server);
    else await checkOutput(command, name, example);
    passed++;
    console.log(`ok   ${runtime}: ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL ${runtime}: ${name}: ${error.message}\n${error.stderr ?? ""}`);
  }
}

async function checkOutput(command, name, { args = [], prints, after, beside }) {
  const server = beside && (await start([...command, ...beside], {}));
  try {
    const env = server ? { ...process.env, BITNET_URL: `${server.url}/v1` } : process.env;
    const options = { cwd: work, encoding: "utf8", env, timeout: LONGEST_MS, stdio: ["ignore", "pipe", "pipe"] };
    const [program, ...before] = command;
    const output = execFileSync(program, [...before, name, ...args], options);
    if (!prints.test(output)) throw new Error(`unexpected output ${JSON.stringify(output)}`);
    after?.();
  } finally {
    await server?.stop();
  }
}

/** Three prompts, of which the last is none. */
function answers() {
  const lines = readFileSync(join(work, "answers.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const fine = lines.length === 3 && lines[0].text.length > 10 && lines[1].tokens === 5 && lines[2].error;
  if (!fine) throw new Error(`unexpected answers ${JSON.stringify(lines)}`);
}

async function checkServer(command, name, routes) {
  const server = await start([...command, name], { PORT: "0" });
  try {
    for (const [path, expected] of Object.entries(routes)) {
      const response = await fetch(server.url + path, { signal: AbortSignal.timeout(LONGEST_MS) });
      const text = await response.text();
      if (!response.ok || !expected.test(text)) throw new Error(`${path}: ${response.status} ${JSON.stringify(text)}`);
    }
  } finally {
    await server.stop();
  }
}

/** Starts a server, and waits for the line that names its address. */
async function start([program, ...args], env) {
  const child = spawn(program, args, {
    cwd: work,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const found = /http:\/\/[\w.:]+/.exec(line)?.[0];
      if (found) resolve(found);
    });
    exited.then(([code]) => reject(new Error(`it ended with ${code} before it listened`)), reject);
  });
  return {
    url,
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
      const [code, signal] = await exited;
      clearTimeout(timer);
      if (code !== 0) throw new Error(`it ended with ${code ?? signal} on SIGTERM`);
    },
  };
}
