export type { Architecture } from "./architecture";
export { architectureNames, describeModel } from "./registry";
