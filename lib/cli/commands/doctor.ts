import { readFileSync } from "node:fs";
import { freemem, release, totalmem, type } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import type { CpuInfo, KernelInfo } from "../../../types/addon";
import { addonPath, loadAddon, packageVersion, systemName } from "../../addon";
import { runtime } from "../../addon_failure";
import { formatBytes, storedChoices } from "../../engine";
import { KernelError } from "../../errors";
import { cacheFolder as ownCacheFolder } from "../../files/cache_folder";
import { cacheFolder } from "../../files/hub";
import { Model } from "../../model";
import { print, printJson } from "../output";
import { Progress } from "../progress";

interface Flags {
  json?: boolean;
  quick?: boolean;
}

interface Report {
  versions: {
    nodeBitnet: string;
    node: string;
    /** Platform, architecture and C library. */
    system: string;
    /** The system's own name and version. */
    os: string;
    binary: string | null;
    /** Versions of the libraries that do part of the work; null where one is not installed. */
    libraries: Record<string, string | null>;
  };
  cpu?: CpuInfo;
  /** Names of the kernels that this CPU runs. */
  kernels?: string[];
  /** What was measured to be fastest for models that were loaded before. */
  tunedKernels?: { kernel: string; threads: number }[];
  memory: { totalBytes: number; freeBytes: number; cgroupLimitBytes: number | null };
  cgroupCpus: string | null;
  /** Of pulled models. */
  cacheFolder: string;
  /** Of measurements. */
  tunerFolder: string;
  environment: Record<string, string>;
  bandwidth?: { gigabytesPerSecond: number; threads: number }[];
  selfTest?: { kernel: string; floatLevel: string; threads: number; sameBitsAsScalar: boolean };
  /** What went wrong; absent if nothing did. */
  error?: string;
  ok: boolean;
}

/** Bytes that the bandwidth is measured over: more than any cache holds. */
const PROBE_BYTES = 512 * 1024 * 1024;

/** Libraries whose version can matter to a defect. */
const LIBRARIES = ["tokenizers", "@huggingface/tokenizers", "@huggingface/jinja", "fastify"];

/** `node-bitnet doctor` */
export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("Check this installation; prints a report to paste into an issue")
    .option("--json", "print the report as JSON")
    .option("--quick", "leave out the measurement of the memory bandwidth")
    .action(doctor);
}

async function doctor(flags: Flags): Promise<void> {
  const report = await examine(flags.quick ?? false);
  await (flags.json ? printJson(report) : print(reportText(report)));
  if (!report.ok) process.exitCode = 1;
}

async function examine(quick: boolean): Promise<Report> {
  const report: Report = {
    versions: {
      nodeBitnet: packageVersion(),
      node: runtime(),
      system: systemName(),
      os: osName(),
      binary: addonPath() ?? null,
      libraries: Object.fromEntries(LIBRARIES.map((name) => [name, versionOf(name)])),
    },
    memory: {
      totalBytes: totalmem(),
      freeBytes: freemem(),
      cgroupLimitBytes: cgroupNumber("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    },
    cgroupCpus: firstLineOf("/sys/fs/cgroup/cpu.max"),
    cacheFolder: cacheFolder(),
    tunerFolder: ownCacheFolder(),
    environment: relevantEnvironment(),
    ok: false,
  };
  const progress = new Progress("checking");
  try {
    const addon = loadAddon();
    report.versions.binary = addonPath() ?? null;
    report.cpu = addon.cpu();
    report.kernels = addon.kernels().filter(runsHere).map(nameOf);
    report.tunedKernels = await storedChoices(addon.version);
    if (!quick) {
      progress.step("memory bandwidth");
      const counts = [...new Set([1, report.cpu.physicalCores])];
      report.bandwidth = [];
      for (const threads of counts) report.bandwidth.push(await addon.probeBandwidth(PROBE_BYTES, threads));
    }
    progress.step("self-test");
    report.selfTest = await selfTest();
    if (!report.selfTest.sameBitsAsScalar) {
      throw new KernelError(
        `Kernel ${report.selfTest.kernel} gives other logits than the scalar one. Please report it.`,
      );
    }
    report.ok = true;
  } catch (error) {
    report.error = error instanceof Error ? error.message : String(error);
  } finally {
    progress.clear();
  }
  return report;
}

/** The bundled model's logits with the kernel that is chosen here and with the scalar one, bit by bit. */
async function selfTest(): Promise<NonNullable<Report["selfTest"]>> {
  const best = await logitsWith("auto");
  const scalar = await logitsWith("scalar");
  const { kernel, floatLevel, threads } = best.info;
  return { kernel, floatLevel, threads, sameBitsAsScalar: Buffer.compare(best.bytes, scalar.bytes) === 0 };
}

async function logitsWith(kernel: string): Promise<{ bytes: Uint8Array; info: Model["info"] }> {
  const model = await Model.load(undefined, { kernel, contextLength: 64 });
  try {
    const ids = await model.tokenizer.encode("Once upon a time there was a king who had three daughters");
    const logits = await model.evaluate(ids);
    return { bytes: new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength), info: model.info };
  } finally {
    await model.close();
  }
}

function runsHere({ available }: KernelInfo): boolean {
  return available;
}

function nameOf({ name }: KernelInfo): string {
  return name;
}

/** "Debian GNU/Linux 12 (bookworm), Linux 6.1.0"; elsewhere the kernel's name and version. */
function osName(): string {
  const kernel = `${type()} ${release()}`;
  try {
    const name = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
    return name ? `${name}, ${kernel}` : kernel;
  } catch {
    return kernel;
  }
}

/** Version of a dependency, found without its `exports`, which may hide its package.json. */
function versionOf(name: string): string | null {
  for (const folder of require.resolve.paths(name) ?? []) {
    try {
      const { version } = JSON.parse(readFileSync(join(folder, name, "package.json"), "utf8")) as { version: string };
      return version;
    } catch {
      // Not there.
    }
  }
  return null;
}

function relevantEnvironment(): Record<string, string> {
  const wanted =
    /^(BITNET_|HF_HOME$|HF_HUB_CACHE$|HF_ENDPOINT$|NODE_BITNET_|XDG_CACHE_HOME$|UV_THREADPOOL_SIZE$|LIBC$)/;
  // A report is pasted into issues: nothing that might be a secret.
  const entries = Object.entries(process.env).filter(([name]) => wanted.test(name) && !/TOKEN|KEY|SECRET/.test(name));
  return Object.fromEntries(entries) as Record<string, string>;
}

function firstLineOf(path: string): string | null {
  try {
    return readFileSync(path, "utf8").split("\n", 1)[0] ?? null;
  } catch {
    return null;
  }
}

/** The first of the files that holds a limit. "max", and what is more than any machine has, is none. */
function cgroupNumber(...paths: string[]): number | null {
  for (const path of paths) {
    const value = Number(firstLineOf(path) ?? NaN);
    if (Number.isFinite(value) && value < 2 ** 50) return value;
  }
  return null;
}

function reportText(report: Report): string {
  const { versions, cpu, memory, bandwidth, selfTest } = report;
  const limit =
    memory.cgroupLimitBytes === null ? "no cgroup limit" : `cgroup limit ${formatBytes(memory.cgroupLimitBytes)}`;
  const lines = [
    `node-bitnet ${versions.nodeBitnet}, ${versions.node}, ${versions.system}; ${versions.os}`,
    `binary: ${versions.binary ?? "none for this system"}`,
    `libraries: ${Object.entries(versions.libraries)
      .map(([name, version]) => `${name} ${version ?? "not installed"}`)
      .join(", ")}`,
  ];
  if (cpu) {
    lines.push(
      `CPU: ${cpu.model} (${cpu.arch}): ${cpu.physicalCores} cores, ${cpu.usableCpus} CPUs usable`,
      `  features: ${cpu.features.join(" ") || "none beyond the baseline"}`,
      `  kernels: ${report.kernels?.join(" ") ?? ""}`,
    );
  }
  if (report.tunedKernels) {
    const choices = report.tunedKernels.map(({ kernel, threads }) => `${kernel} (${countOf(threads, "thread")})`);
    lines.push(`tuned kernels of models loaded before: ${[...new Set(choices)].join(", ") || "none yet"}`);
  }
  lines.push(
    `CPU quota (cgroup): ${report.cgroupCpus ?? "none"}`,
    `memory: ${formatBytes(memory.totalBytes)}, ${formatBytes(memory.freeBytes)} free; ${limit}`,
  );
  for (const { threads, gigabytesPerSecond } of bandwidth ?? []) {
    lines.push(`memory bandwidth, ${countOf(threads, "thread")}: ${gigabytesPerSecond.toFixed(1)} GB/s`);
  }
  lines.push(`model cache: ${report.cacheFolder}`, `cache of measurements: ${report.tunerFolder}`);
  for (const [name, value] of Object.entries(report.environment)) lines.push(`${name}=${value}`);
  if (selfTest) {
    const verdict = selfTest.sameBitsAsScalar ? "same bits as scalar" : "DIFFERS from scalar";
    lines.push(
      `self-test: ${selfTest.kernel}, float ${selfTest.floatLevel}, ${countOf(selfTest.threads, "thread")}: ${verdict}`,
    );
  }
  lines.push(report.ok ? "All is well." : `PROBLEM: ${report.error ?? "unknown"}`);
  return lines.join("\n");
}

function countOf(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}
