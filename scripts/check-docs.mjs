// Checks every code block and link of README.md, CONTRIBUTING.md and docs/:
//
//   ts     type-checked as a module that imports the built package, and run, in a folder where the bundled model lies as
//          model.gguf, unless it listens on a port or begins with a comment "Needs ..."
//   sh     each `node-bitnet` command and option exists in its --help, each `npm run` script in package.json; commands of
//          RUNNABLE are run, in the same folder
//   json   parses
//   links  relative ones lead to a file, and to a heading in it
//
// A block of another language, or a `ts` block after a line `<!-- not checked: why -->`, is left alone.
// Usage: npm run test:docs    after `npm run build`. The last line reads "<n> passed, <n> failed".
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { transformSync } from "esbuild";

/** Commands that end by themselves within seconds and change nothing outside the folder. */
const RUNNABLE = ["generate", "embed", "inspect", "verify", "perplexity", "kernels"];

const root = fileURLToPath(new URL("..", import.meta.url));
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const cli = join(root, "dist/cli/main.js");
/** Below the repository, so that `import "node-bitnet"` finds the build. */
const work = join(root, "build-docs");

prepareFolder();

let passed = 0;
const problems = [];
const verdict = (ok, problem) => (ok ? passed++ : problems.push(problem));

const pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md", ...pagesBelow("docs")];
const programs = [];
for (const page of pages) {
  const text = readFileSync(join(root, page), "utf8");
  for (const { language, code, line, skipped } of blocksOf(text)) {
    const where = `${page}:${line}`;
    if (language === "ts" && !skipped) programs.push({ where, code });
    if (language === "sh") checkShell(where, code);
    if (language === "json") checkJson(where, code);
  }
  checkLinks(page, text);
}
typeCheck();
for (const [i, { where, code }] of programs.entries()) if (isRunnable(code)) runProgram(where, code, i);
rmSync(work, { recursive: true, force: true });

for (const problem of problems) console.log(`FAIL ${problem}`);
console.log(`${passed} passed, ${problems.length} failed`);
process.exit(problems.length === 0 ? 0 : 1);

function pagesBelow(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    // docs/api is made by TypeDoc.
    if (entry.isDirectory()) return entry.name.startsWith(".") || entry.name === "api" ? [] : pagesBelow(path);
    return entry.name.endsWith(".md") ? [path] : [];
  });
}

function blocksOf(text) {
  const blocks = [];
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const language = /^```(\w+)/.exec(lines[i])?.[1];
    if (!lines[i].startsWith("```")) continue;
    const start = i++;
    while (i < lines.length && !lines[i].startsWith("```")) i++;
    const skipped = /<!-- not checked: .+ -->/.test(lines.slice(Math.max(0, start - 2), start).join("\n"));
    blocks.push({ language, code: lines.slice(start + 1, i).join("\n"), line: start + 1, skipped });
  }
  return blocks;
}

function checkShell(where, code) {
  for (const line of code.replace(/\\\n/g, " ").split("\n")) {
    for (const [, name] of line.matchAll(/npm run (?:--silent )?([\w:-]+)/g)) {
      verdict(scripts[name] !== undefined, `${where}: package.json has no script "${name}"`);
    }
    const command = /(?:^|[|&] )(?:npx )?node-bitnet (.*)/.exec(line.replace(/#.*/, ""))?.[1];
    if (command === undefined) continue;
    const words = command
      .split(/\s+(?:\||&&|>|<)\s+/)[0]
      .replace(/"[^"]*"|'[^']*'/g, "TEXT")
      .split(/\s+/);
    // What stands behind "--" is for `bench model`, which `bench compare` runs.
    const end = words.includes("--") ? words.indexOf("--") : words.length;
    checkOptions(where, words.slice(0, end));
    if (end < words.length) checkOptions(where, ["bench", "model", ...words.slice(end + 1)]);
    if (RUNNABLE.includes(words[0])) runCommand(where, line);
  }
}

/** Whether a command has all options that a line of the docs gives it. */
function checkOptions(where, words) {
  const help = helpOf(words);
  verdict(help !== undefined, `${where}: no command "${words[0]}"`);
  for (const option of words.filter((word) => /^-/.test(word)).map((word) => word.replace(/=.*/, ""))) {
    const known = new RegExp(`(^|[\\s,])${option}([\\s,=]|$)`, "m").test(help ?? "");
    verdict(known, `${where}: "${words[0]}" has no option ${option}`);
  }
}

/** Help of the command, or of its sub-command, that the words begin with. */
function helpOf(words) {
  const names = words.filter((word) => /^[a-z][a-z-]*$/.test(word));
  const program = help([]);
  if (words[0].startsWith("-")) return program;
  if (!new RegExp(`^  ${names[0]}\\b`, "m").test(program)) return undefined;
  const own = help(names.slice(0, 1));
  return names.length > 1 && new RegExp(`^  ${names[1]}\\b`, "m").test(own) ? help(names.slice(0, 2)) : own;
}

function help(names) {
  const memory = (help.memory ??= new Map());
  const key = names.join(" ");
  if (!memory.has(key))
    memory.set(key, spawnSync(process.execPath, [cli, ...names, "--help"], { encoding: "utf8" }).stdout);
  return memory.get(key);
}

function checkJson(where, code) {
  try {
    JSON.parse(code);
    passed++;
  } catch (error) {
    problems.push(`${where}: ${error.message}`);
  }
}

function checkLinks(page, text) {
  const prose = text.replace(/```[\s\S]*?```/g, "").replace(/`[^`\n]*`/g, "");
  for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^(https?:|mailto:)/.test(target)) continue;
    const [path, heading] = decodeURIComponent(target).split("#");
    // The site's own links begin at docs/ and need no extension; api/ is made by TypeDoc.
    const base = path.startsWith("/") ? join(root, "docs", path) : join(root, dirname(page), path);
    const file = path === "" ? join(root, page) : [base, `${base}.md`, join(base, "index.md")].find(existsSync);
    const found = /(^|\/)api\//.test(path) || (file !== undefined && hasHeading(file, heading));
    verdict(found, `${page}: the link ${target} leads nowhere`);
  }
}

/** Headings become identifiers as on GitHub: small letters, no punctuation, hyphens for spaces. */
function hasHeading(file, heading) {
  if (heading === undefined || !file.endsWith(".md")) return true;
  const titles = [...readFileSync(file, "utf8").matchAll(/^#+ (.+)$/gm)].map(([, title]) => title);
  return titles.some(
    (title) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .replace(/\s/g, "-") === heading,
  );
}

function prepareFolder() {
  rmSync(work, { recursive: true, force: true });
  mkdirSync(join(work, "bin"), { recursive: true });
  const model = readdirSync(join(root, "models")).find((name) => name.endsWith(".gguf"));
  cpSync(join(root, "models", model), join(work, "model.gguf"));
  writeFileSync(join(work, "text.txt"), "Once upon a time there was a king who had three daughters.\n".repeat(20));
  writeFileSync(
    join(work, "bin/npx"),
    `#!/bin/sh\n[ "$1" = node-bitnet ] && shift\nexec "${process.execPath}" "${cli}" "$@"\n`,
    {
      mode: 0o755,
    },
  );
}

function runCommand(where, line) {
  if (process.platform === "win32") return;
  const env = { ...process.env, PATH: `${join(work, "bin")}:${process.env.PATH}` };
  const { status, stdout, stderr } = spawnSync("sh", ["-ec", line], { cwd: work, env, encoding: "utf8", input: "" });
  verdict(status === 0 && stdout.length > 0, `${where}: "${line.trim()}" ended with ${status}: ${stderr}`);
}

function isRunnable(code) {
  return !/\.listen\(|^\/\/ Needs /m.test(code);
}

function runProgram(where, code, i) {
  const file = join(work, `block${i}.mjs`);
  writeFileSync(file, transformSync(code, { loader: "ts", format: "esm", target: "node20" }).code);
  const { status, stderr } = spawnSync(process.execPath, [file], { cwd: work, encoding: "utf8", timeout: 120_000 });
  verdict(status === 0, `${where}: ended with ${status}: ${stderr}`);
}

function typeCheck() {
  programs.forEach(({ code }, i) => writeFileSync(join(work, `block${i}.mts`), `${code}\nexport {};\n`));
  const options = { extends: "../tsconfig.json", compilerOptions: { types: ["node"] }, include: ["*.mts"] };
  writeFileSync(join(work, "tsconfig.json"), JSON.stringify(options));
  let output = "";
  try {
    execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", work], { encoding: "utf8" });
  } catch (error) {
    output = error.stdout;
  }
  for (const [i, { where }] of programs.entries()) {
    const found = output.split("\n").filter((line) => line.includes(`block${i}.mts`));
    verdict(found.length === 0, `${where}: ${found.join("\n")}`);
  }
}
