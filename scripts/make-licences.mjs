// Writes THIRD_PARTY_LICENSES.md: the licence texts of what an installation brings and of what is inside the package's own
// files. Refuses a licence that is not on the list.
//
// Usage: npm run licences [-- --check]    after `npm ci`. --check: only tells whether the file is what would be written.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** Those that ask for nothing but their text; another one has to be read before it is added here. */
const ACCEPTED = ["MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "BlueOak-1.0.0"];
/** Development packages of which parts end up in the package's own files, with where. */
const INSIDE = { "node_modules/marked": "in the chat page" };

const root = fileURLToPath(new URL("..", import.meta.url));
const file = join(root, "THIRD_PARTY_LICENSES.md");
const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });
const json = (path) => JSON.parse(readFileSync(path, "utf8"));
const { packages } = json(join(root, "package-lock.json"));

const problems = [];
const groups = new Map();
for (const [path, { dev, optional, peer }] of Object.entries(packages).sort()) {
  const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
  if (path === "" || ((dev || optional || peer) && INSIDE[path] === undefined)) continue;
  const { version, license } = json(join(root, path, "package.json"));
  if (!ACCEPTED.includes(license)) problems.push(`${name} ${version}: licence ${JSON.stringify(license)}`);
  const text = textOf(path) ?? `${license}; the package has no licence file.`;
  const title = `${name} ${version} (${license}${INSIDE[path] === undefined ? "" : `, ${INSIDE[path]}`})`;
  groups.set(text, [...(groups.get(text) ?? []), title]);
}

// By name: where npm lays a package out changes with others that are installed.
const sections = [...groups].map(([text, titles]) => ({ text, title: [...new Set(titles)].sort().join("  \n") }));
sections.sort((a, b) => (a.title < b.title ? -1 : 1));
const parts = sections.map(({ title, text }) => `${title}\n\n\`\`\`text\n${text}\n\`\`\`\n`);

const whole = `# Licences of others

node-bitnet itself is under the MIT licence (LICENSE). An installation brings these packages, or holds parts of them in its own
files; their licences follow. The binaries contain node-addon-api (below) and, where they were made with zig, parts of LLVM's
C++ library (Apache-2.0 with LLVM exceptions) and, on Windows, of the mingw-w64 runtime (public domain and ZPL-2.1).

Made by \`npm run licences\` from package-lock.json.

${parts.join("\n")}`;

for (const problem of problems) console.error(problem);
if (values.check) {
  const same = readFileSync(file, "utf8") === whole;
  if (!same) console.error("THIRD_PARTY_LICENSES.md is not what package-lock.json says: npm run licences");
  process.exit(same && problems.length === 0 ? 0 : 1);
}
writeFileSync(file, whole);
console.log(`${new Set([...groups.values()].flat()).size} packages`);
process.exit(problems.length === 0 ? 0 : 1);

function textOf(path) {
  const folder = join(root, path);
  const name = readdirSync(folder).find((each) => /^(licen[cs]e|copying)(\.|-|$)/i.test(each));
  if (name === undefined) return undefined;
  // Fences of the Markdown page must not end early.
  return readFileSync(join(folder, name), "utf8").replaceAll("\r\n", "\n").replaceAll("```", "'''").trim();
}
