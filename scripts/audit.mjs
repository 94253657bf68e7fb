/**
 * Asks npm's registry whether what an installation contains has known vulnerabilities (high or critical), and whether each
 * installed package bears the registry's signature.
 *
 *   npm run audit [-- --only vulnerabilities|signatures]
 *
 * Exit codes: 0 nothing found; 1 something found; 2 the registry did not answer, which is no pass: nothing is known then.
 */
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = resolve(fileURLToPath(import.meta.url), "../..");
const { values } = parseArgs({ options: { only: { type: "string" } } });

/** What each question finds in npm's answer; undefined where that is none. */
const QUESTIONS = {
  vulnerabilities: {
    what: "high and critical vulnerabilities",
    command: ["audit", "--omit", "dev", "--json"],
    findings({ vulnerabilities, metadata }) {
      if (metadata?.vulnerabilities === undefined) return undefined;
      return Object.values(vulnerabilities ?? {})
        .filter(({ severity }) => severity === "high" || severity === "critical")
        .map(({ name, severity, range, via }) => {
          const titles = via.map((each) =>
            typeof each === "string" ? `through ${each}` : `${each.title} ${each.url}`,
          );
          return `${name} ${range} (${severity}): ${titles.join("; ")}`;
        });
    },
  },
  signatures: {
    what: "packages without a right signature",
    command: ["audit", "signatures", "--json"],
    findings({ invalid, missing }) {
      if (!invalid || !missing) return undefined;
      return [
        ...invalid.map(({ name, version }) => `${name}@${version}: the signature is wrong`),
        ...missing.map(({ name, version }) => `${name}@${version}: there is no signature`),
      ];
    },
  },
};

let status = 0;
for (const [name, { what, command, findings }] of Object.entries(QUESTIONS)) {
  if (values.only && values.only !== name) continue;
  const answer = ask(command);
  const found = findings(answer);
  if (found === undefined) {
    const reason = answer.message ?? answer.error?.summary ?? "npm gave no answer that can be read";
    console.error(`UNKNOWN ${name}: the registry did not answer (${reason}). Nothing was checked; this is no pass.`);
    if (status === 0) status = 2;
  } else {
    for (const each of found) console.error(`FINDING ${each}`);
    console.log(`${what}: ${found.length || "none"}`);
    if (found.length > 0) status = 1;
  }
}
process.exit(status);

function ask(command) {
  const { stdout } = spawnSync("npm", command, { cwd: root, encoding: "utf8", shell: process.platform === "win32" });
  try {
    return JSON.parse(stdout);
  } catch {
    return {};
  }
}
