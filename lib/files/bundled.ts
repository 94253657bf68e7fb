import { join } from "node:path";

/**
 * Chat template of the bundled model. It is a base model for stories that never saw role markers, so a conversation is
 * rendered as the story so far: what the assistant wrote follows the user's words directly, as their continuation, and
 * each further message starts a new paragraph. A longer conversation starts with the text of a shorter one, so the KV
 * cache of earlier turns stays valid.
 */
export const COMPLETION_TEMPLATE =
  "{%- for message in messages -%}" +
  "{%- if not loop.first and message['role'] != 'assistant' -%}{{- '\\n\\n' -}}{%- endif -%}" +
  "{{- message['content'] -}}" +
  "{%- endfor -%}";

/** Absolute path of the model that ships with the package; see models/README.md. */
export const BUNDLED_MODEL_PATH = join(__dirname, "..", "..", "models", "fairy-tales-5.8m-i2_s.gguf");
