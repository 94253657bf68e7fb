import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ModelFormatError } from "../errors";
import type { HfFolder } from "./hf_folder";
import { readAddedTokens, type HfAddedToken } from "./hf_added_tokens";
import { fileExists, isRecord, optionalJson } from "./safetensors";

/** How a text's vector is made of its tokens' vectors. */
export type Pooling = "mean" | "last" | "first";

/** What the files beside config.json say about texts. */
export interface HfSettings {
  bosId: number | undefined;
  /** Ids that end a text; the first is the EOS. */
  eosIds: number[];
  padId: number | undefined;
  /** Jinja source. */
  chatTemplate: string | undefined;
  /** For models that make vectors of texts. */
  pooling: Pooling | undefined;
  /** What a tokenizer.json says itself, and a tokenizer.model does not. */
  addedTokens?: readonly HfAddedToken[];
  addBos?: boolean | undefined;
  addEos?: boolean | undefined;
}

/**
 * Reads a folder's special token ids (config.json, generation_config.json), chat template (chat_template.jinja,
 * tokenizer_config.json) and pooling (1_Pooling/config.json).
 * @throws FileError, ModelFormatError
 */
export async function readHfSettings({ path, config, configPath }: HfFolder): Promise<HfSettings> {
  const generation = await optionalJson(join(path, "generation_config.json"));
  const ids = (key: string): number[] => [
    ...idList(configPath, key, config[key]),
    ...idList(join(path, "generation_config.json"), key, generation[key]),
  ];
  const tokenizer = await optionalJson(join(path, "tokenizer_config.json"));
  const own = await fileExists(join(path, "tokenizer.json"));
  const flag = (key: string): boolean | undefined => (typeof tokenizer[key] === "boolean" ? tokenizer[key] : undefined);
  return {
    bosId: ids("bos_token_id")[0],
    eosIds: [...new Set(ids("eos_token_id"))],
    padId: ids("pad_token_id")[0],
    chatTemplate: await readTemplate(path, tokenizer),
    pooling: readPooling(await optionalJson(join(path, "1_Pooling", "config.json"))),
    ...(own
      ? {}
      : {
          addedTokens: await readAddedTokens(path, tokenizer),
          addBos: flag("add_bos_token"),
          addEos: flag("add_eos_token"),
        }),
  };
}

function idList(path: string, key: string, value: unknown): number[] {
  const list: unknown[] = value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];
  if (list.every((id): id is number => typeof id === "number" && Number.isInteger(id) && id >= 0)) return list;
  throw new ModelFormatError(
    `"${path}": "${key}" is ${JSON.stringify(value)}; it must be a token id or a list of them.`,
  );
}

async function readTemplate(folder: string, tokenizer: Record<string, unknown>): Promise<string | undefined> {
  const file = join(folder, "chat_template.jinja");
  if (await fileExists(file)) return readFile(file, "utf8");
  const { chat_template: template } = tokenizer;
  if (typeof template === "string") return template;
  // Several named templates: the one called "default" is for plain conversations.
  const named: unknown[] = Array.isArray(template) ? template : [];
  const found = named.filter(isRecord).find(({ name }) => name === "default")?.template;
  return typeof found === "string" ? found : undefined;
}

function readPooling(config: Record<string, unknown>): Pooling | undefined {
  if (config.pooling_mode_lasttoken === true) return "last";
  if (config.pooling_mode_mean_tokens === true) return "mean";
  return config.pooling_mode_cls_token === true ? "first" : undefined;
}
