import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import type { FastifyInstance } from "fastify";

/** Where the build puts the page; the same from lib/ and from dist/. */
const FOLDER = join(__dirname, "..", "..", "dist", "server", "web");

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/**
 * Nothing but the page's own files runs or is loaded, and text never becomes markup: even a flaw in the page's code
 * cannot make a model's answer a script.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

/** Serves the chat page at / and the dashboard at /dashboard: files read once, so that no path leads elsewhere. */
export function addPage(app: FastifyInstance): void {
  for (const file of listFiles()) {
    const type = TYPES[extname(file)];
    if (type === undefined) continue;
    const content = readFileSync(join(FOLDER, file));
    const isPage = extname(file) === ".html";
    app.get(routeOf(file), { logLevel: "warn" }, (_request, reply) => {
      void reply.header("content-security-policy", POLICY).header("referrer-policy", "no-referrer");
      void reply.header("cross-origin-opener-policy", "same-origin").header("x-frame-options", "DENY");
      // Names stay while contents change with the version.
      void reply.header("cache-control", isPage ? "no-store" : "no-cache");
      return reply.type(type).send(content);
    });
  }
}

function listFiles(): string[] {
  try {
    return readdirSync(FOLDER);
  } catch {
    // A clone that was not built has no page; the API works without it.
    return [];
  }
}

function routeOf(file: string): string {
  if (file === "index.html") return "/";
  return file.endsWith(".html") ? `/${file.slice(0, -".html".length)}` : `/assets/${file}`;
}
