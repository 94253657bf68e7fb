import { homedir } from "node:os";
import { join } from "node:path";

/** What a folder is chosen by. */
export interface CacheFolderSource {
  platform?: NodeJS.Platform;
  env?: NodeJS.ProcessEnv;
  home?: string;
}

/**
 * The folder for what can be measured or fetched again: `NODE_BITNET_CACHE`, or "node-bitnet" in the system's cache
 * folder of this user (XDG base directories on Linux). It need not exist.
 */
export function cacheFolder({
  platform = process.platform,
  env = process.env,
  home = homedir(),
}: CacheFolderSource = {}): string {
  // An empty variable counts as not set, as the XDG specification has it.
  const set = (name: string): string | undefined => (env[name] === "" ? undefined : env[name]);
  const own = set("NODE_BITNET_CACHE");
  if (own !== undefined) return own;
  if (platform === "darwin") return join(home, "Library", "Caches", "node-bitnet");
  if (platform === "win32") return join(set("LOCALAPPDATA") ?? join(home, "AppData", "Local"), "node-bitnet", "cache");
  return join(set("XDG_CACHE_HOME") ?? join(home, ".cache"), "node-bitnet");
}
