import { AbortError, BitnetError, FileError, InvalidOptionError, KvCacheFullError, fromNative } from "../lib/errors";
import * as errors from "../lib/errors";

type AnyErrorClass = new (message: string, options?: ErrorOptions) => BitnetError;

function native(code: unknown): Error {
  return Object.assign(new Error("blk.0.ffn_up.weight: what happened"), { code });
}

/** What some classes tell besides. */
const FURTHER: Readonly<Record<string, readonly string[]>> = {
  ToolError: ["toolName"],
  IncompleteTextError: ["text", "finishReason"],
};

describe("error classes", () => {
  const classes = Object.values(errors).filter((each) => each.prototype instanceof BitnetError) as AnyErrorClass[];

  test("each has a code of its own and its class name on the first line of the stack", () => {
    expect(classes).toHaveLength(16);
    for (const errorClass of classes) {
      const error = new errorClass("model.gguf: too short");
      expect(error.code).toMatch(/^ERR_[A-Z_]+$/);
      expect(error.name).toBe(errorClass.name);
      expect(error.stack).toMatch(new RegExp(`^${errorClass.name}: model.gguf: too short\n`));
      expect(Object.keys(error).sort()).toEqual(["code", ...(FURTHER[errorClass.name] ?? [])].sort());
    }
    expect(new Set(classes.map((errorClass) => new errorClass("").code)).size).toBe(classes.length);
  });

  test("keep the cause", () => {
    const cause = new Error("ENOENT");
    expect(new FileError("model.gguf: not found", { cause }).cause).toBe(cause);
  });
});

describe("fromNative", () => {
  test.each([
    ["ERR_INVALID_ARGUMENT", InvalidOptionError, "ERR_INVALID_OPTION"],
    ["ERR_FILE", FileError, "ERR_FILE"],
    ["ERR_KV_FULL", KvCacheFullError, "ERR_KV_FULL"],
    ["ERR_ABORTED", AbortError, "ERR_ABORTED"],
  ])("turns %s into its class, with the original as cause", (code, errorClass, mapped) => {
    const original = native(code);
    const error = fromNative(original);
    expect(error).toBeInstanceOf(errorClass);
    expect(error).toMatchObject({ message: original.message, code: mapped, cause: original });
  });

  test.each(["ERR_SOMETHING_ELSE", undefined, 7])("leaves an error with code %p alone", (code) => {
    const original = native(code);
    expect(fromNative(original)).toBe(original);
  });

  test("leaves an error that is already one of ours alone", () => {
    const original = new AbortError("generate: aborted");
    expect(fromNative(original)).toBe(original);
  });

  test("wraps what is no error", () => {
    expect(fromNative("oops")).toMatchObject({ code: "ERR_BITNET", cause: "oops" });
  });
});
