// Removes everything that a build makes.
import { rmSync } from "node:fs";

for (const folder of [
  "build",
  "build-arm64",
  "build-prebuild",
  "build-install",
  "build-asan",
  "build-tsan",
  "build-fuzz",
  "build-tidy",
  "build-valgrind",
  "dist",
  "prebuilds",
  "coverage",
]) {
  rmSync(new URL(`../${folder}`, import.meta.url), { recursive: true, force: true });
}
