import { ApiError } from "./api_error";

/** Deepest nesting of arrays and objects in a body; JSON schemas stay far below. */
const DEEPEST = 64;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * A request body as JSON. Bytes that are no UTF-8 and deep nesting are refused before anything walks through them.
 * @throws ApiError 400
 */
export function parseBody(bytes: Buffer): unknown {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (error) {
    throw new ApiError(400, "The request body is not valid UTF-8.", { code: "invalid_encoding", cause: error });
  }
  if (depthOf(text) > DEEPEST) {
    throw new ApiError(400, `The request body is nested deeper than ${DEEPEST} levels.`, { code: "too_deep" });
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new ApiError(400, "We could not parse the JSON body of your request. Expected a JSON object.", {
      code: "invalid_json",
      cause: error,
    });
  }
}

/** The deepest nesting of brackets outside of strings. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (inString) {
      if (character === "\\") i++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === "{" || character === "[") deepest = Math.max(deepest, ++depth);
    else if (character === "}" || character === "]") depth--;
  }
  return deepest;
}
