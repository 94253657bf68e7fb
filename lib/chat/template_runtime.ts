import { createRequire } from "node:module";
import { createContext, Script } from "node:vm";
/** A parsed template. */
export type Program = object;

/** What is used of the package, whose own types name their files in a way that Node's resolution does not find. */
interface Jinja {
  tokenize: (source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }) => unknown[];
  parse: (tokens: unknown[]) => Program;
  Environment: new () => { set(name: string, value: unknown): unknown };
  Interpreter: new (environment: object) => {
    run(program: Program): { value: unknown };
    evaluate(statement: unknown, environment: unknown): { value: unknown };
  };
}

const { Environment, Interpreter, parse, tokenize } = createRequire(__filename)("@huggingface/jinja") as Jinja;

/** A template called `raise_exception`; the message is the template's own. */
export class TemplateRefusal extends Error {}

/** Longest list that `range` makes: templates count messages, and a hostile one must not fill the memory. */
const LONGEST_RANGE = 100_000;
/** A template that takes longer never ends; those that are known take a millisecond. */
const TIME_LIMIT_MS = 2000;
/** Longest source; the longest known templates have 30,000 characters. */
const LONGEST_SOURCE = 1 << 20;
/** Expressions and statements that a rendering may evaluate, a long text or list counting as many. */
const MOST_STEPS = 5_000_000;
/** Steps below which a rendering that took too long was not at work: the machine or the process stood still. */
const FEW_STEPS = 20_000;
const LONGEST_TEXT = 4 << 20;
const LONGEST_LIST = 1 << 20;

/** Evaluates within a budget: a template that doubles a list forty times must not take the process's memory. */
class BoundedInterpreter extends Interpreter {
  steps = 0;

  override evaluate(statement: unknown, environment: unknown): { value: unknown } {
    if (++this.steps > MOST_STEPS) throw new Error(`it takes more than ${MOST_STEPS} steps`);
    const result = super.evaluate(statement, environment);
    const value = (result as { value?: unknown } | undefined)?.value;
    if (typeof value === "string") this.count(value.length, LONGEST_TEXT, "a text");
    else if (Array.isArray(value)) this.count(value.length, LONGEST_LIST, "a list");
    return result;
  }

  private count(length: number, most: number, what: string): void {
    if (length > most) throw new Error(`it makes ${what} longer than ${most}`);
    this.steps += length >> 12;
  }
}

const runScript = new Script("run()");

/** Parses Jinja source with the settings that chat templates are written for. */
export function parseTemplate(source: string): Program {
  if (source.length > LONGEST_SOURCE) {
    throw new Error(`it has ${source.length} characters; at most ${LONGEST_SOURCE} are accepted`);
  }
  return parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
}

/** Runs a template with these variables. Endless loops, huge texts and huge lists throw. */
export function runTemplate(program: Program, variables: Readonly<Record<string, unknown>>): string {
  const all = Object.entries({ ...globals, ...variables });
  const render = (tries: number): string => {
    const environment = new Environment();
    // It copies lists and objects, which templates may change: a second try begins with what the caller gave.
    for (const [name, value] of all) environment.set(name, value);
    const interpreter = new BoundedInterpreter(environment);
    const run = (): unknown => interpreter.run(program).value;
    try {
      return String(runScript.runInContext(createContext({ run }), { timeout: TIME_LIMIT_MS }));
    } catch (error) {
      const late = (error as NodeJS.ErrnoException | null)?.code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
      if (late && tries > 1 && interpreter.steps < FEW_STEPS) return render(tries - 1);
      throw error;
    }
  };
  return render(2);
}

/** What every chat template may use, as in the transformers library. */
const globals: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range,
  raise_exception: (message: unknown): never => {
    throw new TemplateRefusal(String(message));
  },
  strftime_now: (format: unknown): string => strftime(String(format), new Date()),
};

function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= LONGEST_RANGE)) throw new Error(`range() of ${length} items; at most ${LONGEST_RANGE} are allowed`);
  return Array.from({ length }, (_, i) => start + i * step);
}

/** The conversions that chat templates use for today's date; local time. */
function strftime(format: string, date: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const named = (options: Intl.DateTimeFormatOptions): string => new Intl.DateTimeFormat("en-US", options).format(date);
  const conversions: Readonly<Record<string, () => string>> = {
    Y: () => String(date.getFullYear()),
    y: () => two(date.getFullYear() % 100),
    m: () => two(date.getMonth() + 1),
    d: () => two(date.getDate()),
    H: () => two(date.getHours()),
    I: () => two(date.getHours() % 12 || 12),
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    p: () => (date.getHours() < 12 ? "AM" : "PM"),
    b: () => named({ month: "short" }),
    B: () => named({ month: "long" }),
    a: () => named({ weekday: "short" }),
    A: () => named({ weekday: "long" }),
    "%": () => "%",
  };
  return format.replace(/%(.)/g, (whole, letter: string) => conversions[letter]?.() ?? whole);
}
