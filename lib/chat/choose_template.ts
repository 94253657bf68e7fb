import type { Engine } from "../engine";
import { InvalidOptionError } from "../errors";
import { ChatTemplate } from "./template";

/**
 * The template by name or source, else the model's own.
 * @throws InvalidOptionError where there is none, ModelFormatError for one that cannot be parsed
 */
export function chooseTemplate(
  engine: Pick<Engine, "tokenizer" | "info" | "chatTemplate">,
  template: string | undefined,
): ChatTemplate {
  const { tokenizer, chatTemplate } = engine;
  const { bosId, eosIds } = tokenizer;
  const textOf = (id: number | undefined): string =>
    id === undefined ? "" : tokenizer.decode([id], { skipSpecial: false });
  const tokens = { bosToken: textOf(bosId), eosToken: textOf(eosIds[0]) };
  const source = template ?? chatTemplate;
  if (source === undefined) {
    throw new InvalidOptionError(
      `model.chat: "${engine.info.path}" has no chat template; choose one with the option "template", "chatml" for example.`,
    );
  }
  const isJinja = template === undefined || /\{[{%]/.test(source);
  return isJinja ? ChatTemplate.compile(source, tokens) : ChatTemplate.named(source, tokens);
}
