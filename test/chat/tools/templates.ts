/** Templates as the two families of models have them, in short. */

/** Hermes and Qwen: functions in the system message, calls and results between tags. */
export const HERMES_TEMPLATE =
  "{%- if tools %}{{- '<|im_start|>system\\n<tools>' }}{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}" +
  "{{- '\\n</tools>\\nAnswer with <tool_call></tool_call><|im_end|>\\n' }}{%- endif %}" +
  "{%- for message in messages %}{%- if message.role == 'tool' %}" +
  "{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}" +
  "{%- else %}{{- '<|im_start|>' + message.role + '\\n' + message.content }}" +
  '{%- for call in message.tool_calls or [] %}{{- \'\\n<tool_call>\\n{"name": "\' + call.function.name + \'", "arguments": \' }}' +
  "{{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\\n' }}{%- endif %}" +
  "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

/** Llama 3.1: functions in the first message, one call a turn, results of role "ipython". */
export const LLAMA_TEMPLATE =
  '{{- bos_token }}{%- if tools is not none and tools %}{{- \'Respond in the format {"name": function name, ' +
  '"parameters": dictionary of argument name and its value}.\\n\' }}{%- for t in tools %}{{- t | tojson }}' +
  "{%- endfor %}{%- endif %}{%- for message in messages %}{%- if message.tool_calls %}" +
  "{%- if message.tool_calls | length != 1 %}{{- raise_exception('one call at a time') }}{%- endif %}" +
  "{%- set call = message.tool_calls[0].function %}" +
  '{{- \'<|start_header_id|>assistant<|end_header_id|>\\n\\n{"name": "\' + call.name + \'", "parameters": \' }}' +
  "{{- call.arguments | tojson }}{{- '}<|eot_id|>' }}{%- elif message.role == 'tool' %}" +
  "{{- '<|start_header_id|>ipython<|end_header_id|>\\n\\n' + message.content + '<|eot_id|>' }}" +
  "{%- else %}{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content + '<|eot_id|>' }}" +
  "{%- endif %}{%- endfor %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}";
