import type { FastifyReply } from "fastify";
import { toApiError } from "./api_error";

/** An event of a stream. */
export interface ServerEvent {
  /** Name of the event, where the API has names. */
  event?: string;
  /** Sent as JSON; a string is sent as it is. */
  data: object | string;
}

/** How a stream is written. */
export interface StreamSettings {
  /** A client that reads nothing for so long is cut off; milliseconds. */
  stallTimeout: number;
  /** Told of an error that came when the stream had begun. */
  onError: (error: unknown) => void;
  /** The event that tells the client of an error. */
  errorEvent?: (error: unknown) => ServerEvent;
}

/** The head is sent after so long even if there is no first token, so that proxies see a living answer. */
const HEAD_AFTER_MS = 5000;
const KEEP_ALIVE_MS = 15_000;

/**
 * Answers with server-sent events. An error before the first one is thrown, and becomes an answer with its status; a
 * later one is sent as the last event.
 */
export async function sendEvents(
  reply: FastifyReply,
  events: AsyncGenerator<ServerEvent, undefined>,
  settings: StreamSettings,
): Promise<void> {
  const writer = new EventWriter(reply, settings.stallTimeout);
  const headTimer = setTimeout(() => writer.open(), HEAD_AFTER_MS);
  const keepAlive = setInterval(() => writer.keepAlive(), KEEP_ALIVE_MS);
  try {
    for await (const event of events) {
      clearTimeout(headTimer);
      if (!(await writer.write(event))) break;
    }
    await writer.end();
  } catch (error) {
    if (!writer.isOpen) throw error;
    settings.onError(error);
    const event = settings.errorEvent?.(error) ?? { data: toApiError(error).body };
    await writer.write(event);
    await writer.end();
  } finally {
    clearTimeout(headTimer);
    clearInterval(keepAlive);
  }
}

/** Writes events at the pace at which the client reads them. */
class EventWriter {
  isOpen = false;

  constructor(
    private readonly reply: FastifyReply,
    private readonly stallTimeout: number,
  ) {}

  open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    const { reply } = this;
    reply.hijack();
    const headers = {
      ...reply.getHeaders(),
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache, no-transform",
      // nginx would hold the events back otherwise.
      "x-accel-buffering": "no",
    };
    reply.raw.writeHead(200, headers as Record<string, string>);
    reply.raw.flushHeaders();
  }

  /** Whether the client is still there. */
  async write({ event, data }: ServerEvent): Promise<boolean> {
    this.open();
    const text = typeof data === "string" ? data : JSON.stringify(data);
    const { raw } = this.reply;
    if (raw.destroyed) return false;
    if (raw.write(`${event === undefined ? "" : `event: ${event}\n`}data: ${text}\n\n`)) return true;
    return this.once("drain");
  }

  /** A comment, unless the client is behind anyway. */
  keepAlive(): void {
    const { raw } = this.reply;
    if (this.isOpen && !raw.destroyed && !raw.writableNeedDrain) raw.write(": keep-alive\n\n");
  }

  /** Ends the answer and waits until the client's system has all of it. */
  async end(): Promise<void> {
    const { raw } = this.reply;
    if (!this.isOpen || raw.destroyed) return;
    raw.end();
    if (!raw.writableFinished) await this.once("finish");
  }

  /** Waits for an event; false when the client left, or read nothing for too long. */
  private once(event: "drain" | "finish"): Promise<boolean> {
    const { raw } = this.reply;
    return new Promise((resolve) => {
      const finish = (alive: boolean) => (): void => {
        clearTimeout(timer);
        raw.off(event, onEvent);
        raw.off("close", onClose);
        resolve(alive);
      };
      const onEvent = finish(true);
      const onClose = finish(false);
      const timer = setTimeout(() => raw.destroy(), this.stallTimeout);
      raw.once(event, onEvent);
      raw.once("close", onClose);
    });
  }
}
