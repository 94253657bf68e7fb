import { bytes, choice, literal, nothing, optional, range, repeat, sequence, type Expression } from "./expression";
import { intersect } from "./intersection";

/** Limits of a number. */
export interface NumberLimits {
  least?: number;
  /** `least` itself is too small. */
  above?: boolean;
  most?: number;
  below?: boolean;
}

/** Decimal digits of which a double keeps each. */
const DIGITS = 15;
const LARGEST = 10 ** DIGITS - 1;
const digit = bytes(range(0x30, 0x39));
const wholeNumber = choice(literal("0"), sequence(bytes(range(0x31, 0x39)), repeat(digit, 0, DIGITS - 1)));
const exponent = sequence(bytes([0x65, 0x45]), optional(bytes([0x2b, 0x2d])), digit, optional(digit));

/** Any integer of up to 15 digits. */
export const anyInteger = choice(
  wholeNumber,
  sequence(literal("-"), bytes(range(0x31, 0x39)), repeat(digit, 0, DIGITS - 1)),
);
/** Any number, with or without an exponent. */
export const anyNumber = sequence(
  optional(literal("-")),
  wholeNumber,
  optional(sequence(literal("."), repeat(digit, 1, 17))),
  optional(exponent),
);

/** The integers within limits, of up to 15 digits. */
export function integersWithin({ least, above, most, below }: NumberLimits): Expression {
  if (least === undefined && most === undefined) return anyInteger;
  const low = Math.max(least === undefined ? -LARGEST : above ? Math.floor(least) + 1 : Math.ceil(least), -LARGEST);
  const high = Math.min(most === undefined ? LARGEST : below ? Math.ceil(most) - 1 : Math.floor(most), LARGEST);
  const options: Expression[] = [];
  if (low < 0 && high >= low) options.push(sequence(literal("-"), digitsBetween(Math.max(-high, 1), -low)));
  if (high >= 0) options.push(digitsBetween(Math.max(low, 0), high));
  return choice(...options);
}

/**
 * The numbers within limits, as decimals without an exponent whose digits all count.
 * @param places most digits behind the point
 */
export function numbersWithin(limits: NumberLimits, places = DIGITS): Expression {
  const { least = -LARGEST, most = LARGEST } = limits;
  // So few digits that no decimal beside a limit is read as the limit.
  const whole = Math.max(
    ...[limits.least, limits.most].map((limit) => (limit === undefined ? 1 : decimal(limit).whole.length)),
  );
  const spare = Math.min(places, Math.max(DIGITS - whole, 0));
  const above = { value: least, excluded: limits.above ?? false };
  const below = { value: most, excluded: limits.below ?? false };
  const options: Expression[] = [];
  if (least < 0) {
    const from =
      most < 0 ? { value: -most, excluded: below.excluded } : { value: 0, excluded: most === 0 && below.excluded };
    options.push(sequence(literal("-"), magnitudes(from, { value: -least, excluded: above.excluded }, spare)));
  }
  if (most >= 0)
    options.push(magnitudes(least > 0 ? above : { value: 0, excluded: least === 0 && above.excluded }, below, spare));
  return choice(...options);
}

/** The multiples of a whole number within limits. @throws InvalidOptionError for a divisor that makes too many states */
export function multiplesWithin(divisor: number, limits: NumberLimits): Expression {
  const rests: Expression[] = [];
  for (let rest = 0; rest < divisor; rest++) {
    rests.push({
      kind: "rule",
      body: () => choice(...nextDigits(rest, 0), ...(rest === 0 ? [sequence()] : [])),
    });
  }
  const nextDigits = (rest: number, first: number): Expression[] =>
    range(first, 9).map((next) => sequence(literal(String(next)), rests[(rest * 10 + next) % divisor] ?? nothing));
  const multiples = choice(literal("0"), sequence(optional(literal("-")), choice(...nextDigits(0, 1))));
  return intersect(multiples, integersWithin(limits));
}

interface Limit {
  value: number;
  excluded: boolean;
}

/** The numbers from `from` to `to`, neither negative. */
function magnitudes(from: Limit, to: Limit, places: number): Expression {
  const [low, high] = [decimal(from.value), decimal(to.value)];
  const [first, last] = [Number(low.whole), Math.min(Number(high.whole), LARGEST)];
  const start: Side = { digits: low.fraction, excluded: from.excluded };
  const end: Side = { digits: high.fraction, excluded: to.excluded };
  if (first > last) return nothing;
  if (first === last) return sequence(literal(low.whole), fraction(places, start, end));
  const options = [sequence(literal(low.whole), fraction(places, start, undefined))];
  if (last - first > 1)
    options.push(sequence(digitsBetween(first + 1, last - 1), fraction(places, undefined, undefined)));
  options.push(sequence(literal(String(last)), fraction(places, undefined, end)));
  return choice(...options);
}

/** The digits of a limit behind the point. */
interface Side {
  digits: string;
  excluded: boolean;
}

/** What may stand behind the whole part: nothing, or a point and digits between those of the limits. */
function fraction(places: number, low: Side | undefined, high: Side | undefined): Expression {
  const some = fractionDigits(0, places, low, high);
  const options = some ? [sequence(literal("."), some)] : [];
  if (mayEnd(0, low, high)) options.push(sequence());
  return choice(...options);
}

/** Whether digits that are those of the limits so far may end behind `at` of them. */
function mayEnd(at: number, low: Side | undefined, high: Side | undefined): boolean {
  const isMore = (side: Side): boolean => /[1-9]/.test(side.digits.slice(at));
  if (low && (isMore(low) || low.excluded)) return false;
  return !high || isMore(high) || !high.excluded;
}

/** At least one more digit; undefined where none fits. */
function fractionDigits(
  at: number,
  places: number,
  low: Side | undefined,
  high: Side | undefined,
): Expression | undefined {
  if (at >= places) return undefined;
  if (!low && !high) return repeat(digit, 1, places - at);
  const least = low ? Number(low.digits[at] ?? 0) : 0;
  const most = high ? Number(high.digits[at] ?? 0) : 9;
  const options: Expression[] = [];
  for (let next = least; next <= most; next++) {
    const stillLow = low && next === least ? low : undefined;
    const stillHigh = high && next === most ? high : undefined;
    const more = fractionDigits(at + 1, places, stillLow, stillHigh);
    const rest = [...(more ? [more] : []), ...(mayEnd(at + 1, stillLow, stillHigh) ? [sequence()] : [])];
    if (rest.length > 0) options.push(sequence(literal(String(next)), choice(...rest)));
  }
  return options.length > 0 ? choice(...options) : undefined;
}

/** The digits of a number that is not negative (its sign is left out), without an exponent. */
function decimal(value: number): { whole: string; fraction: string } {
  const [mantissa = "", power = "0"] = String(Math.abs(value)).split("e");
  const [whole = "", places = ""] = mantissa.split(".");
  const shift = Number(power);
  const digits = whole + places;
  const point = whole.length + shift;
  if (point <= 0) return { whole: "0", fraction: "0".repeat(-point) + digits };
  if (point >= digits.length) return { whole: digits + "0".repeat(point - digits.length), fraction: "" };
  return { whole: digits.slice(0, point), fraction: digits.slice(point) };
}

/** The numbers from `low` to `high`, neither negative, as digits. */
function digitsBetween(low: number, high: number): Expression {
  const options: Expression[] = [];
  let from = low;
  while (from <= high) {
    // The widest run of numbers that end in any digits.
    let zeros = 0;
    while (from > 0 && from % 10 ** (zeros + 1) === 0 && from + 10 ** (zeros + 1) - 1 <= high) zeros++;
    const size = 10 ** zeros;
    const head = Math.floor(from / size);
    const last = Math.min(head - (head % 10) + 9, Math.floor((high - (size - 1)) / size));
    const prefix = head >= 10 ? String(Math.floor(head / 10)) : "";
    options.push(
      sequence(literal(prefix), bytes(range(0x30 + (head % 10), 0x30 + (last % 10))), repeat(digit, zeros, zeros)),
    );
    from = (last + 1) * size;
  }
  return choice(...options);
}
