/** Public API of node-bitnet: re-exports only. */
import "./dispose";

export {
  AbortError,
  AddonLoadError,
  BitnetError,
  ClosedError,
  ContextLengthError,
  ConversionError,
  FileError,
  InvalidOptionError,
  KernelError,
  KvCacheFullError,
  ModelFormatError,
  OutOfMemoryError,
  QueueFullError,
  UnsupportedModelError,
} from "./errors";
