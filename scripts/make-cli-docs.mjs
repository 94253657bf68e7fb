// Writes docs/api/command-line.md: the help of every command, as this build prints it. Usage: after `npm run build`.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const cli = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const out = new URL("../docs/api/", import.meta.url);
const helpOf = (...names) => execFileSync(process.execPath, [cli, ...names, "--help"], { encoding: "utf8" });

/** Names below "Commands:" in a help text. */
function commandsIn(help) {
  const list = /^Commands:\n((?: +.*\n?)+)/m.exec(help)?.[1] ?? "";
  return [...list.matchAll(/^ {2}([a-z][\w-]*)/gm)].map(([, name]) => name).filter((name) => name !== "help");
}

const sections = ["# Every command and option", "What `node-bitnet <command> --help` prints."];
function add(...names) {
  const help = helpOf(...names);
  sections.push(`## ${["node-bitnet", ...names].join(" ")}`, `\`\`\`text\n${help.trim()}\n\`\`\``);
  for (const name of commandsIn(help)) add(...names, name);
}
add();
mkdirSync(out, { recursive: true });
writeFileSync(new URL("command-line.md", out), `${sections.join("\n\n")}\n`);
