/** The fuzz targets of the TypeScript side; one file a target, one line here. */
import type { Target } from "./target";
import { addonTarget } from "./targets/addon";
import { ggufTarget } from "./targets/gguf";
import { httpTarget } from "./targets/http";
import { modelTarget } from "./targets/model";
import { packedCacheTarget } from "./targets/packed_cache";
import { regexTarget } from "./targets/regex";
import { safetensorsTarget } from "./targets/safetensors";
import { schemaTarget } from "./targets/schema";
import { sentencepieceTarget } from "./targets/sentencepiece";
import { stateTarget } from "./targets/state";
import { templateTarget } from "./targets/template";
import { tokenizerJsonTarget } from "./targets/tokenizer_json";

export const targets = [
  ggufTarget,
  safetensorsTarget,
  tokenizerJsonTarget,
  sentencepieceTarget,
  templateTarget,
  regexTarget,
  schemaTarget,
  modelTarget,
  stateTarget,
  packedCacheTarget,
  addonTarget,
  httpTarget,
] as unknown as readonly Target[];
