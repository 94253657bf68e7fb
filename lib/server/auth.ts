import { createHash, timingSafeEqual } from "node:crypto";
import { ApiError } from "./api_error";

/** Tells whether a request has one of the keys. Without keys, everybody may enter. */
export class Authenticator {
  private readonly digests: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.digests = keys.map(digest);
  }

  get required(): boolean {
    return this.digests.length > 0;
  }

  /**
   * The client's name for rate limits, told from its key; undefined where no keys are required.
   * @param authorization the header "Authorization"
   * @throws ApiError 401
   */
  check(authorization: string | undefined): string | undefined {
    if (!this.required) return undefined;
    const key = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
    if (key === undefined) {
      throw refusal(
        "You didn't provide an API key. Provide it in an Authorization header using Bearer auth (Authorization: Bearer KEY).",
      );
    }
    const given = digest(key);
    // Digests have one length, and every one is compared, so that the time taken tells nothing about the keys.
    let known = false;
    for (const each of this.digests) known = timingSafeEqual(each, given) || known;
    if (!known) throw refusal("Incorrect API key provided.");
    return given.toString("base64");
  }
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key, "utf8").digest();
}

function refusal(message: string): ApiError {
  return new ApiError(401, message, { code: "invalid_api_key", headers: { "www-authenticate": "Bearer" } });
}
