export { ChatSession, type ChatOptions } from "./session";
export { ChatTemplate, type Message, type Role } from "./template";
