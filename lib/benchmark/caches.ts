import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Bytes of the caches that a thread of this machine reads through. */
export interface CacheSizes {
  /** Of one core. */
  level2: number;
  /** Shared by several cores or all. */
  level3: number;
}

/** Where the system does not tell: small enough to be true of any. */
const UNKNOWN: CacheSizes = { level2: 512 * 2 ** 10, level3: 32 * 2 ** 20 };

/** The caches of the first CPU, as Linux tells; elsewhere a cautious guess. */
export function cacheSizes(root = "/sys/devices/system/cpu/cpu0/cache"): CacheSizes {
  const sizes = { ...UNKNOWN };
  for (let index = 0; index < 8; index++) {
    try {
      const read = (name: string): string => readFileSync(join(root, `index${index}`, name), "utf8").trim();
      const [, digits, unit] = /^(\d+)([KMG]?)$/.exec(read("size")) ?? [];
      const bytes = Number(digits) * { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }[unit as "" | "K" | "M" | "G"];
      if (!(bytes > 0) || read("type") === "Instruction") continue;
      if (read("level") === "2") sizes.level2 = bytes;
      if (read("level") === "3") sizes.level3 = bytes;
    } catch {
      break; // There are no more, or the system has no such files.
    }
  }
  return sizes;
}
