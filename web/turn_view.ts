import { button, make } from "./dom";
import { renderMarkdown } from "./markdown";
import { renderProbabilities } from "./probabilities";
import type { Turn } from "./store";

/** What can be done with a turn. */
export interface TurnActions {
  retry: (turn: Turn) => void;
  edit: (turn: Turn, content: string) => void;
}

/** Shows one turn, and an answer while it grows. */
export class TurnView {
  readonly element: HTMLElement;
  private readonly body = make("div", { class: "body" });
  private readonly note = make("p", { class: "note" });
  private readonly tools = make("div", { class: "tools" });
  private frame: number | undefined;

  constructor(
    private readonly turn: Turn,
    private readonly actions: TurnActions,
  ) {
    const name = turn.role === "user" ? "You" : "Model";
    this.element = make(
      "article",
      { class: `turn ${turn.role}`, attributes: { "aria-label": name } },
      make("h2", { text: name }),
      this.body,
      this.note,
      this.tools,
    );
    this.show();
    if (turn.role === "user") this.tools.append(button("Edit", () => this.edit()));
    else this.tools.append(button("Retry", () => actions.retry(turn)));
  }

  /** Shows what was added, at most once a frame. */
  update(): void {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.show();
    });
  }

  /** Shows the whole answer. */
  finish(): void {
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    this.frame = undefined;
    this.show();
  }

  private show(): void {
    const { turn, body, note } = this;
    const scroller = this.element.parentElement;
    const atEnd = scroller && scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
    // What a user wrote is shown as it was written.
    if (turn.role === "user") body.replaceChildren(make("p", { class: "plain", text: turn.content }));
    else if (turn.probabilities) body.replaceChildren(renderProbabilities(turn.probabilities));
    else body.replaceChildren(renderMarkdown(turn.content));
    note.textContent = turn.note ?? "";
    note.hidden = turn.note === undefined;
    if (scroller && atEnd) scroller.scrollTop = scroller.scrollHeight;
  }

  private edit(): void {
    const { turn, body, tools } = this;
    const input = make("textarea", { attributes: { "aria-label": "Edit message", rows: "3" } });
    input.value = turn.content;
    const close = (): void => {
      tools.replaceChildren(button("Edit", () => this.edit()));
      this.show();
    };
    body.replaceChildren(input);
    tools.replaceChildren(
      button("Save and send", () => this.actions.edit(turn, input.value)),
      button("Cancel", close),
    );
    input.focus();
  }
}
