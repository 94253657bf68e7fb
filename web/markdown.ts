import { lexer, type Token, type Tokens } from "marked";
import { make } from "./dom";

/** Pages and addresses only; "javascript:" and the like stay text. */
const SAFE_LINK = /^(https?:\/\/|mailto:)/i;

/**
 * Markdown as elements. They are built one by one with their text as text: markup in the source is shown, never
 * interpreted. Images become links, because the page makes no requests elsewhere.
 */
export function renderMarkdown(source: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  try {
    fragment.append(...blocks(lexer(source, { gfm: true, breaks: true })));
  } catch {
    // Nesting too deep for the parser: the text is still worth reading.
    fragment.replaceChildren(make("p", { text: source }));
  }
  return fragment;
}

function blocks(tokens: readonly Token[]): Node[] {
  return tokens.flatMap((token) => block(token as Tokens.Generic));
}

function block(token: Tokens.Generic): Node[] {
  switch (token.type) {
    case "space":
    case "def":
      return [];
    case "heading": {
      // The page has headings of its own above these.
      const level = Math.min((token as Tokens.Heading).depth + 2, 6) as 3 | 4 | 5 | 6;
      return [make(`h${level}`, {}, ...inline(token.tokens))];
    }
    case "code":
      return [codeBlock(token as Tokens.Code)];
    case "blockquote":
      return [make("blockquote", {}, ...blocks(token.tokens ?? []))];
    case "list":
      return [list(token as Tokens.List)];
    case "table":
      return [table(token as Tokens.Table)];
    case "hr":
      return [make("hr")];
    case "paragraph":
      return [make("p", {}, ...inline(token.tokens))];
    case "text":
      return token.tokens ? inline(token.tokens) : [new Text(String(token.text))];
    default:
      return [make("p", { text: token.raw })];
  }
}

function codeBlock({ text, lang }: Tokens.Code): HTMLElement {
  const copy = make("button", { class: "copy", text: "Copy", attributes: { type: "button" } });
  copy.addEventListener("click", () => {
    void navigator.clipboard.writeText(text).then(() => (copy.textContent = "Copied"));
  });
  const head = make("div", { class: "code-head" }, make("span", { text: lang ?? "" }), copy);
  const pre = make("pre", { attributes: { tabindex: "0" } }, make("code", { text }));
  return make("div", { class: "code" }, head, pre);
}

function list({ ordered, start, items }: Tokens.List): HTMLElement {
  const element = ordered ? make("ol") : make("ul");
  if (element instanceof HTMLOListElement && typeof start === "number") element.start = start;
  element.append(...items.map((item) => make("li", {}, ...blocks(item.tokens))));
  return element;
}

function table({ header, rows }: Tokens.Table): HTMLElement {
  const row = (tag: "th" | "td", cells: readonly Tokens.TableCell[]): HTMLElement =>
    make("tr", {}, ...cells.map((cell) => make(tag, {}, ...inline(cell.tokens))));
  const body = make("tbody", {}, ...rows.map((cells) => row("td", cells)));
  return make(
    "div",
    { class: "scroll", attributes: { tabindex: "0" } },
    make("table", {}, make("thead", {}, row("th", header)), body),
  );
}

function inline(tokens: readonly Token[] = []): Node[] {
  return tokens.map((token) => inlineNode(token as Tokens.Generic));
}

function inlineNode(token: Tokens.Generic): Node {
  switch (token.type) {
    case "strong":
      return make("strong", {}, ...inline(token.tokens));
    case "em":
      return make("em", {}, ...inline(token.tokens));
    case "del":
      return make("del", {}, ...inline(token.tokens));
    case "codespan":
      return make("code", { text: String(token.text) });
    case "br":
      return make("br");
    case "escape":
    case "text":
      return token.tokens ? make("span", {}, ...inline(token.tokens)) : new Text(String(token.text));
    case "link":
    case "image":
      return link(token as Tokens.Link);
    default:
      return new Text(token.raw);
  }
}

function link({ href, text, raw }: Tokens.Link): Node {
  if (!SAFE_LINK.test(href)) return new Text(raw);
  return make("a", {
    text: text === "" ? href : text,
    attributes: { href, rel: "noopener noreferrer", target: "_blank" },
  });
}
