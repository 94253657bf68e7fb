/** A local server that behaves like the Hugging Face Hub: listings, redirects to a second host for large files, ranges. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What a request is answered with instead of the file: see `HubServer.faults`. */
export type Fault = "none" | "cut" | "corrupt" | "stall" | "ignore-range" | number;

/** A request as it came. */
export interface SeenRequest {
  host: "hub" | "cdn";
  path: string;
  range: string | undefined;
  authorization: string | undefined;
}

/** The commit of every repository here. */
export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** Files larger than this are "LFS" ones, on the second host. */
const LARGE = 1000;

/** One running server, or rather two. */
export class HubServer {
  readonly requests: SeenRequest[] = [];
  /** Taken off one by one by requests for file content. */
  readonly faults: Fault[] = [];
  /** Token that the repository asks for. */
  token: string | undefined;
  /** Faults of the listing. */
  readonly listingFaults: number[] = [];
  private hub!: Server;
  private cdn!: Server;

  /** @param repos files by path, by "owner/name" */
  constructor(private readonly repos: Record<string, Record<string, Buffer>>) {}

  async start(): Promise<void> {
    const listen = (handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> =>
      new Promise((resolve) => {
        const server = createServer(handler);
        server.listen(0, "127.0.0.1", () => resolve(server));
      });
    this.cdn = await listen((request, response) => this.serveFile("cdn", request, response));
    this.hub = await listen((request, response) => this.serveHub(request, response));
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.hub.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const server of [this.hub, this.cdn]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  private see(host: "hub" | "cdn", request: IncomingMessage): void {
    const { range, authorization } = request.headers;
    this.requests.push({ host, path: decodeURIComponent(request.url ?? ""), range, authorization });
  }

  private serveHub(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent((request.url ?? "").split("?")[0]!);
    const end = (status: number, headers: Record<string, string> = {}, body: string | Buffer = ""): void => {
      response.writeHead(status, headers).end(body);
    };
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
      this.see("hub", request);
      end(401);
      return;
    }
    const api = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/(.+)$/.exec(path);
    if (api) {
      this.see("hub", request);
      const fault = this.listingFaults.shift();
      if (fault !== undefined) {
        end(fault, fault === 429 ? { "retry-after": "0.01" } : {});
        return;
      }
      const files = this.repos[api[1]!];
      if (!files || !["main", "v1", COMMIT].includes(api[2]!)) {
        end(404);
        return;
      }
      end(200, { "content-type": "application/json" }, JSON.stringify({ sha: COMMIT, siblings: siblings(files) }));
      return;
    }
    const resolve = /^\/([^/]+\/[^/]+)\/resolve\/[^/]+\/(.+)$/.exec(path);
    const content = resolve && this.repos[resolve[1]!]?.[resolve[2]!];
    if (!content) {
      end(404);
      return;
    }
    if (content.length <= LARGE) {
      this.serveFile("hub", request, response);
      return;
    }
    this.see("hub", request);
    end(302, { location: `http://localhost:${(this.cdn.address() as AddressInfo).port}${request.url}` });
  }

  private serveFile(host: "hub" | "cdn", request: IncomingMessage, response: ServerResponse): void {
    this.see(host, request);
    const resolve = /^\/([^/]+\/[^/]+)\/resolve\/[^/]+\/(.+)$/.exec(decodeURIComponent(request.url ?? ""));
    const content = this.repos[resolve![1]!]![resolve![2]!]!;
    const fault = this.faults.shift();
    if (typeof fault === "number") {
      response.writeHead(fault, { "retry-after": "0.01" }).end();
      return;
    }
    const range = fault === "ignore-range" ? null : /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    const [start, end] = range ? [Number(range[1]), Number(range[2])] : [0, content.length - 1];
    let body = Buffer.from(content.subarray(start, end + 1));
    response.writeHead(range ? 206 : 200, {
      "content-length": String(body.length),
      ...(range ? { "content-range": `bytes ${start}-${end}/${content.length}` } : {}),
    });
    if (fault === "corrupt") body = Buffer.from(body.map((byte, i) => (i === 5 ? byte ^ 1 : byte)));
    if (fault !== "cut" && fault !== "stall") {
      response.end(body);
      return;
    }
    response.write(body.subarray(0, Math.floor(body.length / 2)), () => {
      if (fault === "cut") setTimeout(() => response.destroy(), 20);
    });
  }
}

function siblings(files: Record<string, Buffer>): object[] {
  return Object.entries(files).map(([rfilename, content]) => {
    const blobId = createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
    if (content.length <= LARGE) return { rfilename, size: content.length, blobId };
    const sha256 = createHash("sha256").update(content).digest("hex");
    return { rfilename, size: content.length, blobId, lfs: { sha256, size: content.length, pointerSize: 134 } };
  });
}
