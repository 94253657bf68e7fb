import { AbortError, BitnetError, ClosedError, ContextLengthError } from "../errors";
import {
  InvalidOptionError,
  KvCacheFullError,
  OutOfMemoryError,
  QueueFullError,
  UnsupportedModelError,
} from "../errors";

/** The body of an error answer, as OpenAI's API defines it. */
export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null };
}

/** What an `ApiError` says besides its message. */
export interface ApiErrorDetails {
  type?: string;
  /** Path of the field at fault: "messages[1].content". */
  param?: string;
  code?: string;
  /** Answer headers: `Retry-After` for example. */
  headers?: Readonly<Record<string, string>>;
  cause?: unknown;
}

/** An error that a client is told of: an HTTP status and OpenAI's error body. */
export class ApiError extends Error {
  override readonly name: string = "ApiError";
  readonly type: string;
  readonly param: string | undefined;
  readonly code: string | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    readonly status: number,
    message: string,
    { type, param, code, headers, cause }: ApiErrorDetails = {},
  ) {
    super(message, { cause });
    this.type = type ?? (status >= 500 ? "server_error" : "invalid_request_error");
    this.param = param;
    this.code = code;
    this.headers = headers ?? {};
  }

  /** What is sent to the client. */
  get body(): ErrorBody {
    const { message, type, param, code } = this;
    return { error: { message, type, param: param ?? null, code: code ?? null } };
  }
}

/** 400 for a field whose value cannot be used. */
export function invalid(message: string, param: string, code = "invalid_value"): ApiError {
  return new ApiError(400, message, { param, code });
}

/** 400 for a field that is known, but that this server or the loaded model cannot serve. */
export function unsupported(param: string, reason: string): ApiError {
  return new ApiError(400, `Unsupported parameter: '${param}'. ${reason}`, { param, code: "unsupported_parameter" });
}

/** 503 while the server stops; another instance may take the request. */
export function shuttingDown(): ApiError {
  return new ApiError(503, "The server is shutting down.", {
    code: "shutting_down",
    headers: { "retry-after": "1", connection: "close" },
  });
}

/**
 * What a client is told of any error. Errors of the package that the request caused keep their message; the message of
 * any other stays in the log, because it may name files.
 */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof AbortError && error.cause instanceof ApiError) return error.cause;
  const cause = error;
  if (error instanceof ContextLengthError) {
    return new ApiError(400, error.message, { code: "context_length_exceeded", cause });
  }
  if (error instanceof InvalidOptionError || error instanceof UnsupportedModelError) {
    return new ApiError(400, error.message, { code: "invalid_value", cause });
  }
  if (error instanceof QueueFullError || error instanceof KvCacheFullError) {
    return new ApiError(429, "The model is busy; try again later.", {
      type: "rate_limit_error",
      code: "queue_full",
      headers: { "retry-after": "1" },
      cause,
    });
  }
  if (error instanceof ClosedError || error instanceof AbortError) {
    return new ApiError(503, "The model was unloaded; try again.", { headers: { "retry-after": "1" }, cause });
  }
  if (error instanceof OutOfMemoryError) {
    return new ApiError(503, "The server has not enough memory for this model.", { code: "out_of_memory", cause });
  }
  return fromFramework(error) ?? new ApiError(500, "The server had an error while processing the request.", { cause });
}

/** Fastify's own errors (body too large, unsupported media type ...) carry the status. */
function fromFramework(error: unknown): ApiError | undefined {
  if (error instanceof BitnetError || !(error instanceof Error)) return undefined;
  const { statusCode: status, code } = error as { statusCode?: unknown; code?: unknown };
  if (typeof status !== "number" || status < 400 || status > 499) return undefined;
  return new ApiError(status, error.message, {
    ...(typeof code === "string" ? { code: code.toLowerCase() } : {}),
    cause: error,
  });
}
