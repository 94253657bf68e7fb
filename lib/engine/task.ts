import type { Request } from "./request";

/** A request that was submitted, and how far its outputs were handed out. */
export interface Task {
  readonly request: Request;
  /** The next position whose output is wanted. */
  nextOutput: number;
  begun: boolean;
  /** No longer of interest to anyone. */
  dropped: boolean;
}

/** Higher ones are served first. */
export function priorityOf({ request }: Task): number {
  return request.priority ?? 0;
}

/** The last of those with the lowest priority. */
export function youngest(tasks: readonly Task[]): Task | undefined {
  return tasks.reduce<Task | undefined>(
    (least, task) => (least && priorityOf(least) < priorityOf(task) ? least : task),
    undefined,
  );
}
