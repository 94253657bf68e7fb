import { InvalidOptionError } from "../../errors";

/** A model, or one file of it, on the Hugging Face Hub. */
export interface HubReference {
  /** "owner/name" */
  repo: string;
  /** Path of a file in the repository; absent: the one that fits. */
  file?: string;
  /** Branch, tag or commit. */
  revision: string;
}

const NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,95}";
const REFERENCE = new RegExp(`^hf:(${NAME}/${NAME})(?:/([^@]+))?(?:@([A-Za-z0-9][A-Za-z0-9._/-]{0,199}))?$`);

/** Whether a model's path means the Hub. */
export function isHubReference(path: string): boolean {
  return path.startsWith("hf:");
}

/**
 * Reads "hf:owner/name[/file][@revision]".
 * @throws InvalidOptionError
 */
export function parseHubReference(text: string): HubReference {
  const [, repo, file, revision = "main"] = REFERENCE.exec(text) ?? [];
  if (repo === undefined || repo.includes("..") || revision.includes("..") || (file && !isSafePath(file))) {
    throw new InvalidOptionError(
      `${JSON.stringify(text)} names no model of the Hub; write "hf:owner/name", "hf:owner/name/file.gguf" or ` +
        `"hf:owner/name@revision".`,
    );
  }
  return { repo, ...(file === undefined ? {} : { file }), revision };
}

/** Whether a file's path stays inside of the folder it is meant for, on every system. */
export function isSafePath(path: string): boolean {
  const safe = path.split("/").every((part) => part !== "" && part !== "." && part !== ".." && !part.endsWith(" "));
  // No control characters, no drive letters or streams, no backslashes.
  const plain = Array.from(path).every((character) => character >= " " && !'\\:*?"<>|'.includes(character));
  return safe && plain && path.length < 1024;
}
