import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const CLI = join(__dirname, "..", "..", "dist", "cli", "main.js");

jest.setTimeout(60_000);

function run(args: string[], env: Record<string, string> = {}): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [CLI, "serve", ...args], { env: { ...process.env, ...env } });
}

/** Everything that a process printed, and its exit code. */
function ended(
  child: ChildProcessWithoutNullStreams,
): Promise<{ code: number | null; output: string; errors: string }> {
  let output = "";
  let errors = "";
  child.stdout.on("data", (data) => (output += String(data)));
  child.stderr.on("data", (data) => (errors += String(data)));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, output, errors })));
}

/** The URL that a server prints when it is ready. */
function urlOf(child: ChildProcessWithoutNullStreams): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout.on("data", (data) => {
      const url = /serves (http:\S+)\/v1/.exec(String(data))?.[1];
      if (url !== undefined) resolve(url);
    });
    child.on("close", () => reject(new Error("The server ended")));
  });
}

test("the build is there", () => expect(existsSync(CLI)).toBe(true));

test("SIGTERM lets a stream finish and ends with 0; the log holds ids and no prompts", async () => {
  const child = run(["--port", "0", "--page", "false"], { BITNET_MAX_QUEUE: "3" });
  const end = ended(child);
  const url = await urlOf(child);
  expect((await fetch(`${url}/`)).status).toBe(404);
  const body = JSON.stringify({ prompt: "Once upon a secret", max_tokens: 400, ignore_eos: true, stream: true });
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    body,
    headers: { "x-request-id": "my-id-1" },
  });
  // Nor does the log repeat what a refusal tells the client.
  for (const refused of [{ prompt: "x", secret: 1 }, { prompt: "x", model: "secret" }, { prompt: { secret: 1 } }]) {
    const answer = await fetch(`${url}/v1/completions`, { method: "POST", body: JSON.stringify(refused) });
    expect(answer.status).toBeGreaterThanOrEqual(400);
  }
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = String((await reader?.read())?.value);
  child.kill("SIGTERM");
  for (;;) {
    const piece = await reader?.read();
    if (!piece || piece.done) break;
    text += piece.value;
  }
  expect(text).toContain("[DONE]");
  const { code, output, errors } = await end;
  expect({ code, errors }).toEqual({ code: 0, errors: "" });
  expect(output).toContain('"reqId":"my-id-1"');
  expect(output).toContain('"code":"unknown_parameter"');
  expect(output).not.toContain("secret");
});

test.each([
  [["--port", "99999"], {}, 2, /port/],
  [["--port", "x"], {}, 2, /--port must be a number/],
  [[], { BITNET_MAX_QUEUE: "many" }, 2, /BITNET_MAX_QUEUE/],
  [["--config", "/nonexistent.json"], {}, 1, /nonexistent/],
  [["--port", "0", "--model", "/nonexistent.gguf"], {}, 1, /nonexistent/],
  [["--prot", "1"], {}, 2, /--port/],
] as const)("serve %j %j ends with %d", async (args, env, code, message) => {
  const result = await ended(run([...args], env));
  expect(result.code).toBe(code);
  expect(result.errors).toMatch(message);
});
