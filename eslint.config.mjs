import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

/**
 * Rooms of lib/ from the bottom up. A room may import those before it; imports go one way, so that a change is felt only
 * above it. errors and validate serve all.
 */
const ROOMS = [
  ...["errors", "dispose", "validate", "addon_failure", "addon"],
  ...["files", "sampling", "tokenizer", "architectures"],
  ...["engine", "convert"],
  ...["generation", "chat", "model", "index"],
  ...["benchmark", "server", "ai_sdk", "cli"],
];

function importsGoOneWay() {
  return ROOMS.slice(0, -1).flatMap((room, position) => {
    const above = ROOMS.slice(position + 1).join("|");
    // The way from a file up to lib/, for each depth that a file can lie at.
    const depths = [
      { files: [`lib/${room}.ts`], up: "\\./" },
      { files: [`lib/${room}/*.ts`], up: "\\.\\./" },
      { files: [`lib/${room}/*/*.ts`], up: "(\\.\\./){2}" },
      { files: [`lib/${room}/*/*/*.ts`], up: "(\\.\\./){3}" },
    ];
    return depths.map(({ files, up }) => ({
      files,
      rules: {
        "no-restricted-imports": [
          "error",
          {
            patterns: [
              {
                regex: `^${up}(${above})(/|$)`,
                message: `Imports go one way: lib/${room} lies below this. See ROOMS in eslint.config.mjs.`,
              },
            ],
          },
        ],
      },
    }));
  });
}

export default defineConfig(
  globalIgnores([
    "build*/",
    "dist/",
    "docs/api/",
    "docs/.vitepress/",
    "prebuilds/",
    "coverage/",
    "node_modules/",
    "**/peers/",
  ]),
  js.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      // Numbers in messages are what a reader needs; what would print as "[object Object]" stays forbidden.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      // A generic method may state its result, as `callback<F>()` does.
      "@typescript-eslint/no-unnecessary-type-parameters": "off",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      eqeqeq: "error",
      "prefer-const": "error",
      "max-lines": ["error", 500],
    },
  },
  {
    // Arithmetic and tests index arrays whose bounds their loops hold; elsewhere `!` is a crash waiting for bad input.
    files: [...["lib/sampling/**/*.ts", "lib/generation/structured/token_*.ts"], ...["test/**/*.ts", "bench/**/*.ts"]],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
    },
  },
  {
    files: ["**/*.js", "**/*.cjs"],
    languageOptions: {
      sourceType: "commonjs",
      globals: {
        module: "writable",
        require: "readonly",
        __dirname: "readonly",
        __filename: "readonly",
        process: "readonly",
      },
    },
  },
  {
    files: ["**/*.mjs"],
    languageOptions: {
      globals: {
        ...{ URL: "readonly", process: "readonly", console: "readonly", Buffer: "readonly", fetch: "readonly" },
        ...{ AbortSignal: "readonly", AbortController: "readonly", performance: "readonly" },
        ...{ setTimeout: "readonly", clearTimeout: "readonly", setInterval: "readonly", clearInterval: "readonly" },
      },
    },
  },
  ...importsGoOneWay(),
);
