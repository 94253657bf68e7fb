// Bundles the chat page and the dashboard (web/) into dist/server/web, where the server finds them.
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const out = at("dist/server/web");

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await build({
  entryPoints: [at("web/chat.ts"), at("web/dashboard.ts"), at("web/style.css")],
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome109", "firefox115", "safari16.4"],
  legalComments: "inline",
  logLevel: "warning",
});
for (const file of ["index.html", "dashboard.html", "icon.svg"]) cpSync(at(`web/${file}`), `${out}/${file}`);
