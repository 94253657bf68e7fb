/**
 * `using` and `await using` look methods up under `Symbol.dispose` and `Symbol.asyncDispose`, which the first releases
 * of Node 20 lack. Import this module for its effect before a class body that names either symbol is evaluated.
 *
 * The fallback is the one that TypeScript and core-js use; a symbol that exists is never touched.
 */
for (const name of ["dispose", "asyncDispose"] as const) {
  if (typeof Symbol[name] !== "symbol") {
    Object.defineProperty(Symbol, name, { value: Symbol(`Symbol.${name}`) });
  }
}

export {};
