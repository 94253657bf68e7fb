import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addonPath, loadAddonFrom, packageVersion } from "../lib/addon";
import { explainFailure } from "../lib/addon_failure";
import { AddonLoadError } from "../lib/errors";

const PREBUILDS = `prebuilds/${process.platform}-${process.arch}`;

describe("an addon that does not load", () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "node-bitnet-addon-"));
  });

  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  function failure(): AddonLoadError {
    try {
      loadAddonFrom(root, "1.2.3");
    } catch (error) {
      expect(error).toBeInstanceOf(AddonLoadError);
      return error as AddonLoadError;
    }
    throw new Error("nothing was thrown");
  }

  test("names the system, the folders looked in and the remedy when there is no binary", () => {
    const { message } = failure();
    expect(message).toContain(`${process.platform}-${process.arch}`);
    expect(message).toContain(`Node ${process.versions.node}`);
    expect(message).toContain(`${join(root, "build/Release")}: no binary`);
    expect(message).toContain(`${join(root, `prebuilds/${process.platform}-${process.arch}`)}: no binary`);
    expect(message).toContain("npx node-bitnet build");
  });

  test("gives the loader's reason for a binary that is damaged", () => {
    const folder = join(root, "build/Release");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "node_bitnet.node"), "not a shared library");
    const { message, cause } = failure();
    expect(message).toContain(`${join(folder, "node_bitnet.node")}: `);
    expect(message).toContain((cause as Error).message.split("\n")[0]);
  });

  test("names every file that was tried with its own reason", () => {
    mkdirSync(join(root, PREBUILDS), { recursive: true });
    mkdirSync(join(root, "build/Release"), { recursive: true });
    writeFileSync(join(root, "build/Release/node_bitnet.node"), "no binary");
    cpSync(addonPath() ?? "", join(root, PREBUILDS, "node-bitnet.node"));
    const { message } = failure();
    expect(message).toMatch(new RegExp(`CPU: .+ \\(${process.arch}\\)`));
    expect(message).toMatch(/build.Release.node_bitnet\.node: \S/);
    expect(message).toContain(
      `${join(root, PREBUILDS, "node-bitnet.node")}: it was built from version ${packageVersion()}`,
    );
    expect(message).toContain("Remedy: Reinstall");
  });

  test("of another C library is named, not tried", () => {
    if (process.platform !== "linux") return;
    mkdirSync(join(root, PREBUILDS), { recursive: true });
    const glibc = "glibcVersionRuntime" in (process.report.getReport() as { header: object }).header;
    const other = join(root, PREBUILDS, `node-bitnet.${glibc ? "musl" : "glibc"}.node`);
    writeFileSync(other, "no binary");
    expect(failure().message).toContain(`${other}: not for this system, not tried`);
  });

  test("gives way to one that does", () => {
    mkdirSync(join(root, PREBUILDS), { recursive: true });
    mkdirSync(join(root, "build/Release"), { recursive: true });
    writeFileSync(join(root, "build/Release/node_bitnet.node"), "no binary");
    const good = join(root, PREBUILDS, "node-bitnet.node");
    cpSync(addonPath() ?? "", good);
    const { addon, file } = loadAddonFrom(root, packageVersion());
    expect(file).toBe(good);
    expect(addon.version).toBe(packageVersion());
  });
});

describe("the remedy", () => {
  // What the loaders of Linux (glibc, musl), macOS and Windows wrote, the paths shortened.
  const cases: [string, RegExp][] = [
    ["/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.28' not found (required by /a.node)", /older than glibc 2\.28/],
    ["/lib/libstdc++.so.6: version `GLIBCXX_3.4.26' not found (required by /a.node)", /libstdc\+\+\) is too old/],
    ["Error loading shared library libstdc++.so.6: No such file or directory (needed by /a.node)", /apk add libstdc/],
    ["Error loading shared library ld-linux-x86-64.so.2: No such file or directory", /another C library/],
    ["libc.musl-x86_64.so.1: cannot open shared object file: No such file or directory", /another C library/],
    ["/a.node: wrong ELF class: ELFCLASS32", /npm ci/],
    ["/a.node: invalid ELF header", /npm ci/],
    ["dlopen(/a.node, 0x0001): tried: '/a.node' (mach-o file, but is an incompatible architecture", /npm ci/],
    ["\\\\?\\C:\\a.node is not a valid Win32 application.", /npm ci/],
    ["/a.node: failed to map segment from shared object", /noexec/],
    ["The specified module could not be found. C:\\a.node", /Visual C\+\+ runtime/],
    ["/a.node: undefined symbol: node_api_symbol_for", /Node\.js 20/],
    ["something nobody has seen", /npx node-bitnet build/],
  ];

  test.each(cases)("for %s", (reason, remedy) => {
    const message = explainFailure("linux-x64 (glibc 2.36)", ["/"], [{ file: "/a.node", error: new Error(reason) }]);
    const remedies = message.split("\n").filter((line) => line.startsWith("Remedy: "));
    expect(remedies).toHaveLength(1);
    expect(remedies[0]).toMatch(remedy);
    expect(message).toContain(`/a.node: ${reason}`);
  });
});
