import { InvalidOptionError } from "../errors";
import { describe } from "../validate";
import type { Chunk } from "./types";

/** A text as it comes: of `model.stream`, `model.reply` and `chat.send`. */
export type ChunkStream = AsyncIterableIterator<Chunk, undefined> & { return(): Promise<unknown> };

/**
 * The chunks of a text as a Web stream: work begins when it is read, waits while the reader is behind, and ends when the
 * stream is cancelled. @throws InvalidOptionError for what is no such text. For Node streams: `Readable.fromWeb(toReadableStream(stream), { objectMode: true })`, or `Readable.from(stream)`.
 */
export function toReadableStream(stream: ChunkStream): ReadableStream<Chunk> {
  checkStream("toReadableStream", stream);
  return new ReadableStream<Chunk>(
    {
      async pull(controller) {
        const { done, value } = await stream.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await stream.return();
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * A text as the body of a Web `Response`, in the form of server-sent events: a JSON chunk each, then `[DONE]`. An error
 * in the middle is an event "error" with `code` and `message`, because the status was sent by then. A client that goes
 * away ends the work.
 *
 * @param init status and headers; those of an event stream are added
 * @throws InvalidOptionError for what is no such text
 */
export function toResponse(stream: ChunkStream, init: ResponseInit = {}): Response {
  checkStream("toResponse", stream);
  const encoder = new TextEncoder();
  let over = false;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await stream.next();
          over = done ?? false;
          controller.enqueue(encoder.encode(`data: ${over ? "[DONE]" : JSON.stringify(value)}\n\n`));
        } catch (error) {
          over = true;
          const { code, message } = error as { code?: string; message: string };
          controller.enqueue(encoder.encode(`event: error\ndata: ${JSON.stringify({ code, message })}\n\n`));
        }
        if (over) controller.close();
      },
      async cancel() {
        await stream.return();
      },
    },
    { highWaterMark: 0 },
  );
  const headers = new Headers(init.headers);
  headers.set("content-type", "text/event-stream; charset=utf-8");
  headers.set("cache-control", "no-cache");
  return new Response(body, { ...init, headers });
}

function checkStream(what: string, stream: unknown): void {
  const { next, return: leave } = (stream ?? {}) as Partial<ChunkStream>;
  if (typeof next === "function" && typeof leave === "function") return;
  throw new InvalidOptionError(`${what}: the text must be one of model.stream or chat.send, not ${describe(stream)}.`);
}
