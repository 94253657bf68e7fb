import { COMPLETION_TEMPLATE } from "../files/bundled";

/** A template that is selected by name, for models whose file has none or an unfit one. */
export interface BuiltinTemplate {
  description: string;
  /** Jinja source. */
  source: string;
  /** Texts that end a turn; for vocabularies in which they are no control tokens. */
  stop: readonly string[];
}

/** Built-in chat templates by name. */
export const builtinTemplates: Readonly<Record<string, BuiltinTemplate>> = {
  chatml: {
    description: "Turns between <|im_start|> and <|im_end|> (Qwen and many others)",
    source:
      "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + " +
      "'<|im_end|>\\n' -}}{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}",
    stop: ["<|im_end|>"],
  },
  llama3: {
    description: "Turns behind role headers, ended by <|eot_id|> (Llama 3 Instruct)",
    source:
      "{{- bos_token -}}{%- for message in messages -%}{%- set role = 'ipython' if message['role'] == 'tool' else " +
      "message['role'] -%}{{- '<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' + message['content'] | trim + " +
      "'<|eot_id|>' -}}{%- endfor -%}{%- if add_generation_prompt -%}{{- " +
      "'<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}",
    stop: ["<|eot_id|>"],
  },
  story: {
    description: "Plain text: every message continues the one before, as a base model expects",
    source: COMPLETION_TEMPLATE,
    stop: [],
  },
};
