/** `npm run audit` against a registry of this process: what it answers decides, and no answer is no pass. */
import { spawn } from "node:child_process";
import { createServer, type Server } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

jest.setTimeout(120_000);

const cache = mkdtempSync(join(tmpdir(), "node-bitnet-audit-"));
let server: Server;
let asked: string[] = [];
let answer: { status: number; body: unknown } = { status: 200, body: {} };

function versions(path = ""): unknown {
  const name = decodeURIComponent(path.slice(1));
  return { name, "dist-tags": { latest: "1.0.0" }, versions: { "1.0.0": { name, version: "1.0.0" } } };
}

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    request.resume().on("end", () => {
      // npm asks next which versions of a package there are.
      const { status, body } = request.method === "POST" ? answer : { status: 200, body: versions(request.url) };
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
beforeEach(() => rmSync(cache, { recursive: true, force: true }));
afterAll(() => {
  server.close();
  rmSync(cache, { recursive: true, force: true });
});

function audit(): Promise<{ code: number | null; output: string }> {
  asked = [];
  const child = spawn(process.execPath, [join(__dirname, "../scripts/audit.mjs"), "--only", "vulnerabilities"], {
    env: {
      ...process.env,
      npm_config_registry: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      npm_config_fetch_retries: "0",
      // npm keeps what it was told.
      npm_config_cache: cache,
    },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (output += text.toString()));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, output })));
}

const advisory = (severity: string): unknown => ({
  fastify: [
    { id: 1, url: "https://example.com/1", title: "Too fast", severity, vulnerable_versions: "*", cwe: [], cvss: {} },
  ],
});

test("nothing known passes", async () => {
  answer = { status: 200, body: {} };
  expect(await audit()).toEqual({ code: 0, output: "high and critical vulnerabilities: none\n" });
  expect(asked).toEqual(["POST /-/npm/v1/security/advisories/bulk"]);
});

test("a dependency with a grave one fails and is named", async () => {
  answer = { status: 200, body: advisory("high") };
  const { code, output } = await audit();
  expect(code).toBe(1);
  expect(output).toMatch(/^FINDING fastify .*\(high\): Too fast https:\/\/example.com\/1$/m);
});

test("a slight one passes", async () => {
  answer = { status: 200, body: advisory("low") };
  expect((await audit()).code).toBe(0);
});

test("a registry that does not answer is no pass, and the message says so", async () => {
  answer = { status: 405, body: "" };
  const { code, output } = await audit();
  expect(code).toBe(2);
  expect(output).toMatch(/^UNKNOWN vulnerabilities: the registry did not answer \(405 .*this is no pass\.$/m);
});
