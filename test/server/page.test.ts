import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import type { BackendChunk, BackendOptions } from "../../lib/server";
import { lastChunk, scriptedBackend, startServer, until, type RunningServer } from "./helpers";

const CHROMIUM = [process.env.BITNET_CHROMIUM ?? "", "/usr/bin/chromium", "/usr/bin/chromium-browser"].find(
  (path) => path !== "" && existsSync(path),
);
const PAGE = join(__dirname, "..", "..", "dist", "server", "web", "chat.js");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
/** Set to a folder to write the pictures of the documentation. */
const { BITNET_SCREENSHOTS: SCREENSHOTS } = process.env;

const missing = !CHROMIUM
  ? "Chromium (apt-get install chromium)"
  : existsSync(PAGE)
    ? ""
    : "the built page (npm run build)";
if (missing !== "") console.warn(`The page's tests are skipped: ${missing} is missing.`);
const describeInBrowser = missing === "" ? describe : describe.skip;

jest.setTimeout(120_000);

const HOSTILE = [
  '<img src=x onerror="window.hacked=1">',
  "<script>window.hacked=1</script>",
  "[click](javascript:window.hacked=1)",
  "![picture](http://198.51.100.1/track.png)",
  '<a href="javascript:window.hacked=1">a</a>',
  '`<svg onload="window.hacked=1">`',
  '<iframe srcdoc="<script>parent.hacked=1</script>"></iframe>',
].join("\n\n");

const MARKDOWN = [
  "# Ternary weights",
  "A weight is **-1, 0 or +1**, so that a product *adds* and *subtracts*.",
  "- one\n- two",
  "```js\nconst sum = (a, b) => a + b;\n```",
  "| a | b |\n|---|---|\n| 1 | 2 |",
  "[a page](https://example.org/)",
].join("\n\n");

let running: RunningServer;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let seen: ReturnType<typeof scriptedBackend>["seen"];
/** What the model says next. */
let script: (options: BackendOptions) => Iterable<BackendChunk> | AsyncIterable<BackendChunk>;
let problems: string[];

/** A text in pieces, as tokens. */
function* saying(text: string): Generator<BackendChunk> {
  const pieces = text.match(/[^]{1,7}/g) ?? [];
  for (const piece of pieces) yield { text: piece, tokens: [1] };
  yield lastChunk(pieces.length + 1);
}

async function* endless({ signal }: BackendOptions): AsyncGenerator<BackendChunk> {
  for (let i = 0; !signal?.aborted; i++) {
    yield { text: `word${i} `, tokens: [1] };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw signal.reason as Error;
}

describeInBrowser("the chat page", () => {
  beforeAll(async () => {
    const scripted = scriptedBackend((options) => script(options));
    ({ seen } = scripted);
    running = await startServer({ models: [{ id: "scripted", backend: scripted.backend }] });
    browser = await chromium.launch({ executablePath: CHROMIUM ?? "", args: ["--no-sandbox", "--disable-gpu"] });
  });

  afterAll(async () => {
    await browser.close();
    await running.server.close();
  });

  beforeEach(async () => {
    problems = [];
    seen.messages.length = 0;
    seen.options.length = 0;
    context = await browser.newContext({ viewport: { width: 1100, height: 800 }, colorScheme: "light" });
    page = await context.newPage();
    // Whatever the page asks of others, and whatever its policy blocked, is a mistake.
    page.on("request", (request) => {
      if (!request.url().startsWith(running.url)) problems.push(`request to ${request.url()}`);
    });
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(message.text());
    });
    await page.goto(running.url);
    await holds(page, `document.querySelector("#model option") !== null`);
  });

  afterEach(async () => {
    await context.close();
    expect(problems).toEqual([]);
  });

  async function ask(text: string): Promise<void> {
    await page.fill("#question", text);
    await page.press("#question", "Enter");
  }

  async function answered(): Promise<void> {
    await holds(page, `document.querySelector("#status").textContent.startsWith("Answer complete")`);
  }

  const lastAnswer = (): Promise<string> => page.locator(".turn.assistant .body").last().innerText();

  test("sends with Enter, streams, renders Markdown and tells the speed", async () => {
    script = () => saying(MARKDOWN);
    await ask("What are ternary weights?");
    await answered();
    expect(seen.messages[0]).toEqual([{ role: "user", content: "What are ternary weights?" }]);
    const body = page.locator(".turn.assistant .body");
    expect(await body.locator("h3").innerText()).toBe("Ternary weights");
    expect(await body.locator("strong").innerText()).toBe("-1, 0 or +1");
    expect(await body.locator("li").count()).toBe(2);
    expect(await body.locator("pre code").innerText()).toBe("const sum = (a, b) => a + b;");
    expect(await body.locator("td").allInnerTexts()).toEqual(["1", "2"]);
    expect(await body.locator("a").getAttribute("rel")).toContain("noopener");
    expect(await page.innerText("#numbers")).toMatch(/first token \d+ ms, .* tokens\/s, \d+ tokens/);
  });

  test("stops, by button and by Escape, and the server stops too", async () => {
    script = endless;
    for (const stop of [() => page.click("#stop"), () => page.keyboard.press("Escape")]) {
      await ask("Go on");
      await holds(page, `document.querySelector("#messages")?.textContent?.includes("word3")`);
      expect(await page.isVisible("#send")).toBe(false);
      await stop();
      await page.waitForSelector("#send:visible");
      await until(() => seen.open === 0);
      expect(await page.locator(".turn.assistant .note").last().innerText()).toBe("Stopped.");
    }
  });

  test("retries an answer and edits a question", async () => {
    script = () => saying("first");
    await ask("one");
    await answered();
    script = () => saying("second");
    await page.click(".turn.assistant .tools button");
    await holds(page, `document.querySelector(".turn.assistant .body")?.textContent === "second"`);
    await answered();
    expect(await page.locator(".turn").count()).toBe(2);
    script = () => saying("third");
    await page.click(".turn.user .tools button");
    await page.fill(".turn.user textarea", "changed");
    await page.getByRole("button", { name: "Save and send" }).click();
    await holds(page, `document.querySelector(".turn.assistant .body")?.textContent === "third"`);
    expect(seen.messages.at(-1)).toEqual([{ role: "user", content: "changed" }]);
  });

  test("settings reach the model, and all survives a reload", async () => {
    script = () => saying("kept");
    await page.click("#settings-toggle");
    await page.fill("#system", "Be brief.");
    await page.fill("#temperature", "0.25");
    await page.fill("#max_tokens", "33");
    await page.fill("#seed", "9");
    await ask("hello");
    await answered();
    await page.reload();
    await page.waitForSelector(".turn.assistant");
    expect(await lastAnswer()).toBe("kept");
    expect(await page.inputValue("#temperature")).toBe("0.25");
    await ask("again");
    await holds(page, `document.querySelectorAll(".turn").length === 4`);
    await answered();
    expect(seen.messages.at(-1)).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "hello" },
      { role: "assistant", content: "kept" },
      { role: "user", content: "again" },
    ]);
    expect(seen.options.at(-1)).toMatchObject({ temperature: 0.25, maxTokens: 33, seed: 9 });
  });

  test("what the model says is never markup", async () => {
    script = () => saying(HOSTILE);
    await ask(HOSTILE);
    await answered();
    expect(await page.evaluate("window.hacked")).toBeUndefined();
    const inside = "#messages img, #messages script, #messages iframe, #messages svg, #messages [onerror]";
    expect(await page.locator(inside).count()).toBe(0);
    const links = await page.locator("#messages a").all();
    expect(links.length).toBeGreaterThan(0);
    for (const link of links) expect(await link.getAttribute("href")).toMatch(/^https?:/);
    expect(await lastAnswer()).toContain("<script>window.hacked=1</script>");
    expect(await page.locator(".turn.user .body").innerText()).toContain('<img src=x onerror="window.hacked=1">');
  });

  test("the policy stops scripts that would get in all the same", async () => {
    const blocked = await page.evaluate(`(() => {
      try {
        document.body.innerHTML = "<img src=x onerror='window.hacked=1'>";
        return false;
      } catch {
        return true;
      }
    })()`);
    expect(blocked).toBe(true);
    // The browser reports what it blocked.
    problems = problems.filter((each) => !/Trusted|Content Security Policy/i.test(each));
    const policy = (await running.get("/")).headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain("unsafe");
  });

  test("shows the probabilities of tokens", async () => {
    const top = [
      { token: 97, logprob: Math.log(0.75) },
      { token: 98, logprob: Math.log(0.25) },
    ];
    script = () => [{ text: "a", tokens: [97], logprobs: [{ token: 97, logprob: Math.log(0.75), top }] }, lastChunk(2)];
    await page.click("#settings-toggle");
    await page.check("#probabilities");
    await ask("x");
    await answered();
    await page.focus(".token");
    expect(await page.locator(".alternatives td").allInnerTexts()).toEqual(['"a"', "75.0 %", '"b"', "25.0 %"]);
  });

  test("an error of the server is shown", async () => {
    script = () => {
      throw new Error("broken");
    };
    await ask("x");
    await page.waitForSelector(".turn.assistant .note:visible");
    expect(await page.locator(".note").last().innerText()).toContain("The server had an error");
    problems = problems.filter((each) => !each.includes("500"));
  });

  test.each(["light", "dark"] as const)("is usable by all in %s, also on a phone", async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    script = () => saying(MARKDOWN);
    await ask("What are ternary weights?");
    await answered();
    await page.click("#settings-toggle");
    expect(await violations()).toEqual([]);
    await page.click("#settings-toggle");
    await page.setViewportSize({ width: 360, height: 640 });
    expect(await page.evaluate(`document.documentElement.scrollWidth`)).toBeLessThanOrEqual(360);
    expect(await page.locator("#question").isVisible()).toBe(true);
    if (colorScheme === "light") await picture("chat-phone");
    await page.setViewportSize({ width: 1100, height: 800 });
    await page.goto(`${running.url}/dashboard`);
    await holds(page, `document.querySelector("#models th") !== null`);
    script = () => saying("once upon a time ".repeat(40));
    for (let i = 0; i < 3; i++) {
      await running.post("/v1/completions", { prompt: "x", max_tokens: 300 });
      await page.waitForTimeout(2100);
    }
    const generated = page.locator(".chart .value").first();
    expect(Number(await generated.innerText())).toBeGreaterThan(1);
    expect(await violations()).toEqual([]);
  });

  test("works with the keyboard alone", async () => {
    script = () => saying("done");
    await page.keyboard.press("Tab");
    expect(await page.evaluate(`document.activeElement?.textContent`)).toBe("Skip to the message box");
    await page.keyboard.press("Enter");
    await page.keyboard.type("typed");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("more");
    await page.keyboard.press("Enter");
    await answered();
    expect(seen.messages.at(-1)).toEqual([{ role: "user", content: "typed\nmore" }]);
  });
});

describeInBrowser("the chat page with the bundled model", () => {
  test.each(["light", "dark"] as const)("streams a story in %s", async (colorScheme) => {
    const started = await startServer();
    const own = await chromium.launch({ executablePath: CHROMIUM ?? "", args: ["--no-sandbox", "--disable-gpu"] });
    try {
      page = await own.newPage({ viewport: { width: 1100, height: 800 }, colorScheme });
      await page.goto(started.url);
      await page.click("#settings-toggle");
      await page.fill("#max_tokens", "150");
      await page.fill("#seed", "7");
      await page.fill("#question", "Once upon a time there was a king who");
      await page.press("#question", "Enter");
      await holds(page, `document.querySelector("#status").textContent.startsWith("Answer complete")`);
      expect((await page.locator(".turn.assistant .body").innerText()).length).toBeGreaterThan(100);
      await picture(`chat-${colorScheme}`);
      // Some work to be seen on the dashboard.
      await page.goto(`${started.url}/dashboard`);
      await holds(page, `document.querySelector("#models th") !== null`);
      for (let i = 0; i < (SCREENSHOTS === undefined ? 1 : 20); i++) {
        for (let k = 0; k < 1 + (i % 5); k++) {
          await started.post("/v1/completions", { prompt: "The king", max_tokens: 20 + 40 * k, seed: k });
        }
        await page.waitForTimeout(2000);
      }
      expect(Number(await page.locator(".chart .value").first().innerText())).toBeGreaterThan(1);
      await picture(`dashboard-${colorScheme}`);
    } finally {
      await own.close();
      await started.server.close();
    }
  });
});

describeInBrowser("the chat page of a server with keys", () => {
  test("asks for one and keeps it for the tab", async () => {
    const { backend } = scriptedBackend(() => saying("welcome"));
    const locked = await startServer({ models: [{ id: "m", backend }], apiKeys: ["key-number-one"] });
    const own = await chromium.launch({ executablePath: CHROMIUM ?? "", args: ["--no-sandbox", "--disable-gpu"] });
    try {
      const tab = await own.newPage();
      await tab.goto(locked.url);
      await tab.fill("#key", "key-number-one");
      await tab.getByRole("button", { name: "Save" }).click();
      await holds(tab, `document.querySelector("#model option") !== null`);
      await tab.fill("#question", "hi");
      await tab.press("#question", "Enter");
      await holds(tab, `document.querySelector(".turn.assistant .body")?.textContent === "welcome"`);
    } finally {
      await own.close();
      await locked.server.close();
    }
  });
});

/** Waits for a condition of the page. Not by `waitForFunction`, whose polling the page's policy forbids. */
async function holds(where: Page, expression: string): Promise<void> {
  await until(async () => (await where.evaluate(expression)) === true, 30_000);
}

/** Serious findings of axe, in a page whose policy lets no foreign script in but the debugger's. */
async function violations(): Promise<unknown[]> {
  await page.evaluate(AXE);
  const found: { id: string; impact: string; nodes: string[] }[] = await page.evaluate(
    `axe.run().then(({ violations }) =>
      violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map(({ html }) => html) })))`,
  );
  return found.filter(({ impact }) => impact === "serious" || impact === "critical");
}

async function picture(name: string): Promise<void> {
  if (SCREENSHOTS === undefined) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}
