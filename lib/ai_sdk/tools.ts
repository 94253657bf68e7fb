import type { SharedV3Warning } from "@ai-sdk/provider";
import type { BackendOptions, ToolDefinition } from "../server/backend";
import type { LanguageModelCall } from "./call";

/** The functions of a call and how the model shall choose among them; empty where there are none to call. */
export function toolOptions(
  { tools, toolChoice }: LanguageModelCall,
  warnings: SharedV3Warning[],
): Pick<BackendOptions, "tools" | "toolChoice"> {
  if (!tools || tools.length === 0 || toolChoice?.type === "none") return {};
  const functions: ToolDefinition[] = [];
  for (const tool of tools) {
    if (tool.type === "function") {
      const { name, description, inputSchema, strict } = tool;
      functions.push({
        name,
        ...(description === undefined ? {} : { description }),
        parameters: inputSchema as Record<string, unknown>,
        ...(strict === undefined ? {} : { strict }),
      });
    } else warnings.push({ type: "unsupported", feature: `provider-defined tool ${tool.id}` });
  }
  if (functions.length === 0) return {};
  if (!toolChoice) return { tools: functions };
  return { tools: functions, toolChoice: toolChoice.type === "tool" ? { name: toolChoice.toolName } : toolChoice.type };
}
