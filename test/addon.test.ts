import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadAddonFrom } from "../lib/addon";
import { AddonLoadError } from "../lib/errors";

describe("an addon that does not load", () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "node-bitnet-addon-"));
  });

  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  function failure(): AddonLoadError {
    try {
      loadAddonFrom(root, "1.2.3");
    } catch (error) {
      expect(error).toBeInstanceOf(AddonLoadError);
      return error as AddonLoadError;
    }
    throw new Error("nothing was thrown");
  }

  test("names the system, the folders looked in and the remedy when there is no binary", () => {
    const { message, cause } = failure();
    expect(message).toContain(`${process.platform}-${process.arch}`);
    expect(message).toContain(`Node ${process.versions.node}`);
    expect(message).toContain(`${join(root, "build/Release")}: no binary`);
    expect(message).toContain(`${join(root, `prebuilds/${process.platform}-${process.arch}`)}: no binary`);
    expect(message).toContain("npx node-bitnet build");
    expect(cause).toBeInstanceOf(Error);
  });

  test("gives the loader's reason for a binary that is damaged", () => {
    const folder = join(root, "build/Release");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "node_bitnet.node"), "not a shared library");
    const { message, cause } = failure();
    expect(message).toContain(`${join(folder, "node_bitnet.node")}: `);
    expect(message).toContain((cause as Error).message.split("\n")[0]);
  });
});
