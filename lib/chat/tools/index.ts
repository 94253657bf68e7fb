export {
  checkToolChoice,
  checkTools,
  defineTools,
  tool,
  type Tool,
  type ToolCallContext,
  type ToolChoice,
  type ToolDefinition,
  type ToolInput,
  type Tools,
} from "./definition";
export { toolFormatNames } from "./format";
export { ToolPlan, type ToolSettings } from "./plan";
export { resultText, runsAlone, runTools } from "./run";
