import { existsSync, readFileSync } from "node:fs";
import { defineConfig } from "vitepress";

const page = (text: string, link: string) => ({ text, link });
const apiSidebar = new URL("../api/typedoc-sidebar.json", import.meta.url);

export default defineConfig({
  title: "node-bitnet",
  description: "Ternary language models on the CPU, in Node.js",
  // The site is built without network: no fonts or analytics of others.
  head: [],
  ignoreDeadLinks: false,
  lastUpdated: false,
  themeConfig: {
    search: { provider: "local" },
    nav: [page("Guide", "/getting-started"), page("API", "/api/"), page("한국어", "/ko/getting-started")],
    sidebar: [
      {
        text: "Guide",
        items: [
          page("Getting started", "/getting-started"),
          page("시작하기", "/ko/getting-started"),
          page("Using the API", "/guide"),
          page("Command line", "/cli"),
          page("Models and formats", "/model-files"),
          page("Kernels and threads", "/kernels"),
          page("The server", "/server"),
          page("Deploying the server", "/deploy"),
          page("Vercel's AI SDK", "/ai-sdk"),
          page("Edge devices", "/edge"),
          page("Migrating", "/migrating"),
          page("Troubleshooting", "/troubleshooting"),
          page("Platforms", "/platforms"),
        ],
      },
      {
        text: "Inside",
        items: [
          page("Architecture", "/architecture"),
          page("Contributing", "/contributing"),
          page("Extending", "/extending"),
          page("Benchmark method", "/benchmarks"),
          page("Performance", "/performance"),
          page("Dependencies", "/dependencies"),
          page("Versions", "/versioning"),
        ],
      },
      { text: "Every command and option", link: "/api/command-line" },
      {
        text: "API reference",
        link: "/api/",
        collapsed: true,
        items: existsSync(apiSidebar) ? (JSON.parse(readFileSync(apiSidebar, "utf8")) as []) : [],
      },
    ],
  },
});
