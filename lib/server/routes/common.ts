import type { FastifyBaseLogger } from "fastify";
import { toApiError } from "../api_error";
import type { Service } from "../service";
import type { StreamSettings } from "../sse";

/** How this server writes streams. */
export function streamSettings(service: Service, log: FastifyBaseLogger): StreamSettings {
  return {
    stallTimeout: service.options.stallTimeout,
    onError: (error) => {
      const { status, code } = toApiError(error);
      if (status >= 500) log.error({ err: error }, "stream failed");
      else log.info({ status, code }, "stream ended");
    },
  };
}

/** Writes what a request says to the log, where that was asked for. */
export function logTexts(service: Service, log: FastifyBaseLogger, content: object): void {
  if (service.options.logPrompts) log.info(content, "prompt");
}
