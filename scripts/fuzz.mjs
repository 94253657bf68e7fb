/**
 * Fuzzes everything that reads what strangers wrote: the native targets of native/fuzz (libFuzzer under AddressSanitizer
 * and UndefinedBehaviorSanitizer, needs clang), and the TypeScript targets of test/fuzz (fast-check).
 *
 *   npm run fuzz -- [--seconds 60] [--seed 1] [--only native,gguf,...]
 *   npm run fuzz -- --coverage   of native code: what the corpora reach, by folder; no new inputs
 *   npm run fuzz -- --grow [...]   adds inputs to the committed corpora that reach what theirs do not; of native targets
 *                                  those that earlier runs found
 *
 * The seconds are split over the targets by weight. A finding is kept in test/fuzz/corpus, where every later run and the
 * test suite tries it again. Prints inputs tried and coverage; exits with 1 where there was a finding.
 */
import { fork, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = resolve(fileURLToPath(import.meta.url), "../..");
const CORPUS = join(root, "test/fuzz/corpus");
const BUILD = join(root, "build-fuzz");
/** native/fuzz/targets/<name>.cpp, and its share of the time. */
const NATIVE = { formats: 2, kernels: 2, model: 4, exactness: 3, packed: 3, state: 1, batch: 1, file: 2, measure: 1 };
const SCRIPTED = { gguf: 3, safetensors: 2, "tokenizer-json": 2, sentencepiece: 1, template: 2, regex: 1, schema: 1 };
Object.assign(SCRIPTED, { model: 3, state: 2, "packed-cache": 2, addon: 2, http: 2 });
/** Seconds without a word from a target after which it counts as hanging. */
const SILENCE = 60;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
    coverage: { type: "boolean", default: false },
    grow: { type: "boolean", default: false },
  },
});
const only = values.only?.split(",");
const wanted = (kind, name) =>
  !(values.coverage && kind !== "native") &&
  (!only || only.includes(kind) || only.includes(name) || only.includes(`${kind}:${name}`));
const jobs = [
  ...Object.entries(NATIVE).map(([name, weight]) => ({ kind: "native", name, weight })),
  ...Object.entries(SCRIPTED).map(([name, weight]) => ({ kind: "script", name, weight })),
].filter(({ kind, name }) => wanted(kind, name));
const total = jobs.reduce((sum, { weight }) => sum + weight, 0);
let findings = 0;

if (jobs.some(({ kind }) => kind === "native")) buildNative();
for (const { kind, name, weight } of jobs) {
  const seconds = Math.max(1, Math.round((Number(values.seconds) * weight) / total));
  const native = values.grow ? growNative : fuzzNative;
  const clean = kind === "native" ? native(name, seconds) : await fuzzScript(name, seconds);
  if (!clean) findings++;
}
const natives = jobs.filter(({ kind }) => kind === "native").map(({ name }) => name);
if (natives.length > 1 && !values.grow) {
  // Every target has all of the native code in it.
  const profiles = natives.map((name) => join(BUILD, `${name}.profraw`));
  const program = join(BUILD, `fuzz_${natives.at(-1)}`);
  console.log(`native targets together: ${coverageOf(program, ...profiles)}`);
  if (values.coverage) printFolders(program, profiles);
}
console.log(findings ? `${findings} of ${jobs.length} targets had a finding` : `${jobs.length} targets, no findings`);
process.exit(findings ? 1 : 0);

function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28, ...options });
}

function buildNative() {
  const configure = ["-S", ".", "-B", BUILD, "-DBITNET_BUILD_ADDON=OFF", "-DBITNET_FUZZ=ON"];
  const environment = { ...process.env, CXX: process.env.FUZZ_CXX ?? "clang++" };
  for (const args of [configure, ["--build", BUILD, "--target", "fuzz_targets", "--parallel", "2"]]) {
    const { status, stdout, stderr } = run("cmake", args, { env: environment });
    if (status === 0) continue;
    console.error(
      `${stdout}${stderr}\nThe fuzz targets could not be built; they need clang with its run-time library.`,
    );
    process.exit(2);
  }
}

/** Of a native target: its committed corpus, and what runs here found. */
function foldersOf(name) {
  const kept = join(CORPUS, `native-${name}`);
  const grown = join(BUILD, "corpus", name);
  for (const folder of [kept, grown]) mkdirSync(folder, { recursive: true });
  return { kept, grown };
}

function growNative(name) {
  const { kept, grown } = foldersOf(name);
  // Few inputs that reach all lines: every run begins with the whole corpus. How often a line is reached doesn't count.
  const merge = ["-set_cover_merge=1", "-use_counters=0", "-max_len=4096", kept, grown];
  const { status, stderr } = run(join(BUILD, `fuzz_${name}`), merge, {
    env: { ...process.env, LLVM_PROFILE_FILE: "/dev/null" },
  });
  console.log(`native ${name}: ${/(\d+) new files/.exec(stderr)?.[1] ?? "?"} inputs added`);
  return status === 0;
}

function fuzzNative(name, seconds) {
  const { kept, grown } = foldersOf(name);
  const profile = join(BUILD, `${name}.profraw`);
  const program = join(BUILD, `fuzz_${name}`);
  const { status, stderr } = run(
    program,
    [
      ...(values.coverage ? ["-runs=0"] : [`-max_total_time=${seconds}`]),
      ...[`-seed=${values.seed}`, "-max_len=4096", "-len_control=0", "-timeout=60"],
      "-report_slow_units=60", // else inputs that a busy machine took long over would join the corpus
      ...["-rss_limit_mb=3072", "-malloc_limit_mb=2048", "-print_final_stats=1", `-artifact_prefix=${kept}/`],
      ...[grown, kept],
    ],
    { env: { ...process.env, LLVM_PROFILE_FILE: profile } },
  );
  const inputs = /stat::number_of_executed_units:\s*(\d+)/.exec(stderr)?.[1] ?? "?";
  console.log(`native ${name}: ${inputs} inputs, ${coverageOf(program, profile)}`);
  if (status === 0) return true;
  console.error(`FINDING native ${name}:\n${stderr.slice(-6000)}`);
  return false;
}

/** What runs of a program reached, one or several together, as llvm-cov counts it; undefined where it cannot be told. */
function countsOf(program, profiles) {
  const data = join(BUILD, "coverage.profdata");
  const suffix = ["", "-14", "-15", "-16", "-17", "-18", "-19"].find(
    (each) => run(`llvm-profdata${each}`, ["merge", "--help"]).status === 0,
  );
  const written = profiles.filter((each) => existsSync(each));
  if (suffix === undefined || written.length === 0) return undefined;
  run(`llvm-profdata${suffix}`, ["merge", "-sparse", ...written, "-o", data]);
  const { stdout } = run(`llvm-cov${suffix}`, [
    ...["export", "-summary-only", program, `-instr-profile=${data}`],
    ...["-ignore-filename-regex", "native/fuzz/|native/tests/|/usr/"],
  ]);
  try {
    return JSON.parse(stdout).data[0];
  } catch {
    return undefined;
  }
}

function describe({ lines, functions }) {
  const percent = (100 * lines.covered) / Math.max(1, lines.count);
  return `${Math.round(percent)} % of ${lines.count} lines, ${functions.covered} of ${functions.count} functions`;
}

/** The share of the native code that was compiled in. */
function coverageOf(program, ...profiles) {
  const counts = countsOf(program, profiles);
  return counts ? describe(counts.totals) : "coverage unknown (llvm-profdata is missing)";
}

/** The same by folder; those of instruction sets that this CPU lacks stay dark. */
function printFolders(program, profiles) {
  const folders = new Map();
  for (const { filename, summary } of countsOf(program, profiles)?.files ?? []) {
    const folder = relative(root, dirname(filename));
    const sum = folders.get(folder) ?? { lines: { count: 0, covered: 0 }, functions: { count: 0, covered: 0 } };
    for (const kind of ["lines", "functions"]) {
      sum[kind].count += summary[kind].count;
      sum[kind].covered += summary[kind].covered;
    }
    folders.set(folder, sum);
  }
  for (const [folder, sum] of [...folders].sort()) console.log(`  ${folder}: ${describe(sum)}`);
}

function fuzzScript(name, seconds) {
  return new Promise((done) => {
    const child = fork("test/fuzz/run.ts", [name, String(seconds), values.seed, values.grow ? "grow" : "try"], {
      cwd: root,
      execArgv: ["-r", "@swc-node/register", "--max-old-space-size=2048"],
      serialization: "json",
    });
    let last;
    let silence = 0;
    // Counted in seconds that this process saw: a machine that stood still is no hanging target.
    const timer = setInterval(() => {
      if (++silence < SILENCE) return;
      clearInterval(timer);
      console.error(`FINDING ${name}: no answer for ${SILENCE} s`);
      child.kill("SIGKILL");
    }, 1000);
    child.on("message", ({ input }) => {
      last = input;
      silence = 0;
    });
    child.on("exit", (code, signal) => {
      clearInterval(timer);
      if (signal !== null || (code !== 0 && code !== 1)) {
        // It did not come to keep the input itself.
        const folder = join(CORPUS, name);
        const path = join(folder, `crash-${Date.now().toString(36)}.json`);
        if (last !== undefined) {
          mkdirSync(folder, { recursive: true });
          writeFileSync(path, `${JSON.stringify(last, null, 2)}\n`);
        }
        const kept = last === undefined ? "before its first input" : `the input was kept as ${path}`;
        console.error(`FINDING ${name}: ended by ${signal ?? `exit code ${code}`}; ${kept}`);
      }
      done(code === 0);
    });
  });
}
