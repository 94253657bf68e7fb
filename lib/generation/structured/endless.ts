import { spend } from "./effort";
import type { Expression } from "./expression";

type Rule = Expression & { readonly kind: "rule" };

/** The parts of a language, itself included. */
export function partsOf(root: Expression, bodyOf: (rule: Rule) => Expression): Set<Expression> {
  const parts = new Set<Expression>([root]);
  // A set is walked through in the order of insertion, what is added meanwhile included.
  for (const part of parts) {
    const inner = innerOf(part, bodyOf);
    spend(1 + inner.length);
    for (const each of inner) parts.add(each);
  }
  return parts;
}

/**
 * Those of a language's parts that no text is of, because each would have to contain itself.
 * @param all `partsOf` the language; is used up
 */
export function endlessParts(parts: Set<Expression>, bodyOf: (rule: Rule) => Expression): Set<Expression> {
  const order = [...parts].reverse();
  const ending = new Set<Expression>();
  for (let before = -1; before < ending.size;) {
    before = ending.size;
    spend(order.length);
    for (const part of order) if (!ending.has(part) && ends(part, ending, bodyOf)) ending.add(part);
  }
  for (const part of ending) parts.delete(part);
  return parts;
}

function innerOf(part: Expression, bodyOf: (rule: Rule) => Expression): readonly Expression[] {
  switch (part.kind) {
    case "bytes":
      return [];
    case "sequence":
      return part.parts;
    case "choice":
      return part.options;
    case "repeat":
      return [part.inner];
    case "rule":
      return [bodyOf(part)];
  }
}

function ends(part: Expression, ending: ReadonlySet<Expression>, bodyOf: (rule: Rule) => Expression): boolean {
  switch (part.kind) {
    case "bytes":
      return part.set.size > 0;
    case "sequence":
      return part.parts.every((each) => ending.has(each));
    case "choice":
      return part.options.some((each) => ending.has(each));
    case "repeat":
      return part.least === 0 || ending.has(part.inner);
    case "rule":
      return ending.has(bodyOf(part));
  }
}
