import type { TokenProbability } from "./api";
import { make } from "./dom";

/** The tokens of an answer, shaded by probability; the one that is chosen shows what else could have come. */
export function renderProbabilities(tokens: readonly TokenProbability[]): HTMLElement {
  const alternatives = make("div", { class: "alternatives", attributes: { "aria-live": "polite" } });
  const line = make("div", { class: "tokens", attributes: { role: "toolbar", "aria-label": "Tokens" } });
  const buttons = tokens.map((token, index) => tokenButton(token, index, alternatives));
  line.append(...buttons);
  // One stop for the tab key; arrows walk through the tokens.
  line.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = buttons.findIndex((each) => each === document.activeElement);
    const next = step === undefined ? undefined : buttons[at + step];
    if (!next) return;
    event.preventDefault();
    for (const each of buttons) each.tabIndex = each === next ? 0 : -1;
    next.focus();
  });
  return make("div", { class: "probabilities" }, line, alternatives);
}

function tokenButton(token: TokenProbability, index: number, alternatives: HTMLElement): HTMLButtonElement {
  const probability = Math.exp(token.logprob);
  const button = make("button", {
    class: `token p${Math.min(Math.floor(probability * 5), 4)}`,
    text: token.token,
    attributes: { type: "button", "aria-label": `${token.token}: ${percent(probability)}` },
  });
  button.tabIndex = index === 0 ? 0 : -1;
  const show = (): void => {
    const rows = [token, ...token.top_logprobs.filter((other) => other.token !== token.token)].map((each) =>
      make(
        "tr",
        {},
        make("td", {}, make("code", { text: JSON.stringify(each.token) })),
        make("td", { text: percent(Math.exp(each.logprob)) }),
      ),
    );
    alternatives.replaceChildren(make("table", {}, make("tbody", {}, ...rows)));
  };
  button.addEventListener("focus", show);
  button.addEventListener("click", show);
  button.addEventListener("mouseenter", show);
  return button;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
