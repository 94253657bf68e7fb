import { ToolError } from "../../errors";
import { traced, type ToolCall, type ToolResult, type TraceAttributes } from "../../generation";
import { describe } from "../../validate";
import { parseArguments, type Tools } from "./definition";

/** Whether every call is of a function that does something by itself. */
export function runsAlone(tools: Tools, calls: readonly ToolCall[]): boolean {
  return calls.every(({ name }) => tools[name]?.execute !== undefined);
}

/**
 * Calls the functions, at the same time, and gives what they say in the order of the calls.
 * @param tellErrors what a function throws is told to the model in place of a result
 * @throws ToolError with the cause when one fails
 */
export function runTools(
  tools: Tools,
  calls: readonly ToolCall[],
  signal: AbortSignal,
  tellErrors: boolean,
): Promise<ToolResult[]> {
  return Promise.all(
    calls.map(async (call) => {
      const { id, name } = call;
      try {
        const content = await traced(
          "tool",
          "chat.send",
          () => attributesOf(call),
          () => runTool(tools, call, signal),
        );
        return { id, name, content };
      } catch (cause) {
        if (tellErrors) return { id, name, content: `Error: ${messageOf(cause)}` };
        throw new ToolError(`The tool "${name}" failed: ${messageOf(cause)}`, name, { cause });
      }
    }),
  );
}

function attributesOf({ id, name }: ToolCall): TraceAttributes {
  return { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.call.id": id };
}

async function runTool(tools: Tools, { id, name, arguments: json }: ToolCall, signal: AbortSignal): Promise<string> {
  const called = tools[name];
  if (!called?.execute) throw new Error("there is no such function");
  const input = parseArguments(called, json);
  return resultText(await called.execute(input as never, { id, name, signal }));
}

/** What the model is told of a value: a string as it is, anything else as JSON. @throws Error for what has none */
export function resultText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === undefined) return "";
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError(`a result must be JSON, not ${describe(value)}`);
  return text;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
