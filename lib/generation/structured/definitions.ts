import { Automaton } from "./automaton";
import { compileFound } from "./regex";
import { tooLarge } from "./effort";

/** Steps of comparing values and schemas, which takes a fraction of a second. */
const MOST_STEPS = 2_000_000;

/** What all parts of a schema share while it is compiled: what references stand for, and how much work is left. */
export class Definitions {
  private steps = 0;
  private readonly automata = new Map<string, Automaton>();

  constructor(private readonly root: unknown) {}

  /** What a reference stands for; undefined where the schema lacks it. */
  resolve(reference: string): unknown {
    let target: unknown = this.root;
    for (const part of reference.split("/").slice(1)) {
      const key = decoded(part).replaceAll("~1", "/").replaceAll("~0", "~");
      target =
        typeof target === "object" && target !== null && Object.hasOwn(target, key)
          ? (target as Record<string, unknown>)[key]
          : undefined;
    }
    return target;
  }

  /** @throws InvalidOptionError when more was spent than any sensible schema needs */
  spend(steps: number): void {
    this.steps += steps;
    if (this.steps > MOST_STEPS) throw tooLarge();
  }

  /**
   * Whether an expression is found in a text, without stepping back: as many steps as the text has bytes.
   * @throws InvalidOptionError for an expression that is not supported
   */
  finds(pattern: string, text: string): boolean {
    let automaton = this.automata.get(pattern);
    if (!automaton) this.automata.set(pattern, (automaton = new Automaton(compileFound(pattern))));
    const bytes = Buffer.from(text);
    this.spend(bytes.length);
    return automaton.run(automaton.start, bytes)?.accepting ?? false;
  }
}

/** A part of a reference, which is a URI. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
