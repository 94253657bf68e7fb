export { cacheFolder, listCache, removeFromCache, type CachedModel } from "./cache";
export { pull, type PulledModel, type PullOptions, type PullProgress } from "./pull";
export { isHubReference, parseHubReference, type HubReference } from "./reference";
