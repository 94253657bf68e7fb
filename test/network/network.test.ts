/** Nothing is sent anywhere: the built package runs with all that reaches the network trapped. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addonPath } from "../../lib/addon";

function runTrapped(action: string, ...given: string[]): { status: number | null; stdout: string; stderr: string } {
  const program = join(__dirname, "child.cjs");
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, action, ...given], { encoding: "utf8" });
  return { status, stdout, stderr };
}

test("a model that is loaded, generates, chats, embeds and is closed calls nobody and starts no program", () => {
  expect(runTrapped("life")).toEqual({ status: 0, stderr: "", stdout: "a text\ncalls: \n" });
});

test("neither does the command line", () => {
  const { status, stdout, stderr } = runTrapped("command");
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toMatch(/\S[^]*\ncalls: \n$/);
});

test("nor does a server that answers", () => {
  expect(runTrapped("server")).toEqual({ status: 0, stderr: "", stdout: "200\ncalls: \n" });
});

test("the traps see what does: a download, and a socket", () => {
  const cache = mkdtempSync(join(tmpdir(), "node-bitnet-network-"));
  try {
    expect(runTrapped("pull", cache).stdout).toMatch(/^ERR_\w+\ncalls: fetch\b/);
    expect(runTrapped("socket").stdout).toBe("net.connect was called\ncalls: net.connect\n");
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
});

test("the native part asks the system for no socket", () => {
  const path = addonPath();
  if (path === undefined) throw new Error("the addon is not built");
  // Names of imported functions stand in the binary between null bytes.
  const binary = readFileSync(path, "latin1");
  const imported = (names: string): boolean => new RegExp(`\0_?(${names})\0`).test(binary);
  expect(imported("memcpy|memmove|memset")).toBe(true);
  expect(imported("socket|connect|sendto|sendmsg|getaddrinfo|gethostbyname|res_query|system|popen|execve|fork")).toBe(
    false,
  );
});
