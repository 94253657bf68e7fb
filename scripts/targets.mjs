// The systems that binaries are made for. `zig` is the name zig has for the target: the oldest glibc or macOS to run on.
import { existsSync } from "node:fs";

const linux = (arch, libc, zig) => ({ platform: "linux", arch, libc, system: "Linux", zig });

export const TARGETS = {
  "linux-x64": linux("x64", "glibc", "x86_64-linux-gnu.2.28"),
  "linux-arm64": linux("arm64", "glibc", "aarch64-linux-gnu.2.28"),
  "linux-x64-musl": linux("x64", "musl", "x86_64-linux-musl"),
  "linux-arm64-musl": linux("arm64", "musl", "aarch64-linux-musl"),
  "darwin-x64": { platform: "darwin", arch: "x64", system: "Darwin", zig: "x86_64-macos.11.0" },
  "darwin-arm64": { platform: "darwin", arch: "arm64", system: "Darwin", zig: "aarch64-macos.11.0" },
  "win32-x64": { platform: "win32", arch: "x64", system: "Windows", zig: "x86_64-windows-gnu" },
};

/** This machine's target. */
export const HOST = `${process.platform}-${process.arch}${existsSync("/etc/alpine-release") ? "-musl" : ""}`;
