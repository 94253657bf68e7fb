import { isNativeError } from "node:util/types";

/**
 * Base of all errors thrown or rejected by this package. Tell them apart by class or by `code`; a `code` never changes
 * once published, a message may.
 */
export class BitnetError extends Error {
  /** Stable machine-readable code. */
  readonly code: string = "ERR_BITNET";
}

/** A model or tokenizer file is damaged or contradicts itself: truncated, wrong magic, a size that does not fit. */
export class ModelFormatError extends BitnetError {
  override readonly code = "ERR_MODEL_FORMAT";
}

/** The file is sound, but uses an architecture, tensor type or feature that this version does not run. */
export class UnsupportedModelError extends BitnetError {
  override readonly code = "ERR_UNSUPPORTED_MODEL";
}

/** A file could not be found, opened, read, mapped or written. */
export class FileError extends BitnetError {
  override readonly code = "ERR_FILE";
}

/** An option or argument has an unknown name, the wrong type or a value out of range. */
export class InvalidOptionError extends BitnetError {
  override readonly code = "ERR_INVALID_OPTION";
}

/** Weights, KV cache or scratch buffers do not fit into memory or into the limit that was set. */
export class OutOfMemoryError extends BitnetError {
  override readonly code = "ERR_OUT_OF_MEMORY";
}

/** The pool of KV blocks has too few free blocks for the batch; nothing was changed. */
export class KvCacheFullError extends BitnetError {
  override readonly code = "ERR_KV_FULL";
}

/** Work was stopped by an `AbortSignal` or by closing. `name` is "AbortError", as in the rest of Node. */
export class AbortError extends BitnetError {
  override readonly code = "ERR_ABORTED";
}

/** A model, session or context was used after `close()`. */
export class ClosedError extends BitnetError {
  override readonly code = "ERR_CLOSED";
}

/** A prompt is longer than the context allows. */
export class ContextLengthError extends BitnetError {
  override readonly code = "ERR_CONTEXT_LENGTH";
}

/** More requests wait than the queue was told to hold; try again later. */
export class QueueFullError extends BitnetError {
  override readonly code = "ERR_QUEUE_FULL";
}

/** The native binary is missing or does not load on this system. */
export class AddonLoadError extends BitnetError {
  override readonly code = "ERR_ADDON_LOAD";
}

/** A kernel is unknown, not available on this CPU, or failed its self-test against the scalar one. */
export class KernelError extends BitnetError {
  override readonly code = "ERR_KERNEL";
}

/** A function that the model called failed, or cannot be called as it was. `cause` is what it threw. */
export class ToolError extends BitnetError {
  override readonly code = "ERR_TOOL";

  constructor(
    message: string,
    /** The function. */
    readonly toolName: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A text that was to have a form, a JSON schema for example, ended before it was complete. */
export class IncompleteTextError extends BitnetError {
  override readonly code = "ERR_INCOMPLETE_TEXT";

  constructor(
    message: string,
    /** What there is of the text. */
    readonly text: string,
    /** Why it ended: "length" for `maxTokens`, "context", "stop_string" or "tool_calls". */
    readonly finishReason: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A saved conversation is damaged, or was saved with another model or settings that do not fit. */
export class StateError extends BitnetError {
  override readonly code = "ERR_STATE";
}

/** A model could not be converted from one file format to another. */
export class ConversionError extends BitnetError {
  override readonly code = "ERR_CONVERSION";
}

const CLASSES = [
  BitnetError,
  ModelFormatError,
  UnsupportedModelError,
  FileError,
  InvalidOptionError,
  OutOfMemoryError,
  KvCacheFullError,
  AbortError,
  ClosedError,
  ContextLengthError,
  QueueFullError,
  AddonLoadError,
  KernelError,
  ConversionError,
  ToolError,
  StateError,
  IncompleteTextError,
] as const;

// The name belongs on the prototype: V8 reads it there when it writes the first line of the stack, and as an own
// property it would be printed a second time beside the stack.
for (const errorClass of CLASSES) {
  Object.defineProperty(errorClass.prototype, "name", { value: errorClass.name, configurable: true, writable: true });
}

type ErrorClass = new (message: string, options?: ErrorOptions) => BitnetError;

/** Codes of the native addon (types/addon.d.ts) and the class that each becomes. */
const NATIVE_CLASSES: ReadonlyMap<string, ErrorClass> = new Map<string, ErrorClass>([
  ["ERR_INVALID_ARGUMENT", InvalidOptionError],
  ["ERR_MODEL_FORMAT", ModelFormatError],
  ["ERR_UNSUPPORTED_MODEL", UnsupportedModelError],
  ["ERR_FILE", FileError],
  ["ERR_OUT_OF_MEMORY", OutOfMemoryError],
  ["ERR_KV_FULL", KvCacheFullError],
  ["ERR_ABORTED", AbortError],
  ["ERR_CLOSED", ClosedError],
  ["ERR_KERNEL", KernelError],
]);

/**
 * The error to throw in place of one that the native addon threw or rejected with: an instance of the class that its
 * `code` stands for, with the original as `cause`. An error without a known code is returned as it is, so that a defect
 * keeps its own stack; a thrown value that is no error is wrapped.
 */
export function fromNative(error: unknown): Error {
  if (error instanceof BitnetError) return error;
  if (!(error instanceof Error) && !isNativeError(error)) {
    return new BitnetError(`The native addon threw ${String(error)}`, { cause: error });
  }
  const { code } = error as { code?: unknown };
  const errorClass = typeof code === "string" ? NATIVE_CLASSES.get(code) : undefined;
  return errorClass ? new errorClass(error.message, { cause: error }) : error;
}
