export { endsOfTurn, type AnswerOptions } from "./chat_options";
export { chooseTemplate } from "./choose_template";
export { streamReply, type ReplyOptions } from "./reply";
export { ChatSession, type ChatOptions, type GivenToolResult } from "./session";
export { ChatTemplate, type Message, type Role } from "./template";
export { tool, ToolPlan, type Tool, type ToolCallContext, type ToolChoice, type ToolDefinition } from "./tools";
export type { ToolInput, Tools } from "./tools";
export { ChatTurn } from "./turn";
