import type { Chunk, ToolCall } from "./types";

/** Puts the pieces of function calls together. */
export class ToolCallList {
  private readonly calls: ToolCall[] = [];

  add({ toolCalls = [] }: Pick<Chunk, "toolCalls">): void {
    for (const { index, id = "", name = "", arguments: text } of toolCalls) {
      const call = (this.calls[index] ??= { id, name, arguments: "" });
      call.arguments += text;
    }
  }

  /** Those whose arguments came whole: only the last may lack its end. */
  get complete(): ToolCall[] {
    return this.calls.filter(isWholeCall);
  }
}

/** Whether the arguments of a call came to their end. */
export function isWholeCall({ arguments: text }: Pick<ToolCall, "arguments">): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
