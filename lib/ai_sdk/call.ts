import type { LanguageModelV3CallOptions, LanguageModelV4CallOptions } from "@ai-sdk/provider";

/**
 * What the AI SDK asks for. The models here say that they keep to specification 3, which versions 6 and 7 of the SDK take
 * alike; version 7 hands them the settings and parts of prompts of specification 4 all the same.
 */
export type LanguageModelCall = LanguageModelV3CallOptions | LanguageModelV4CallOptions;
