import { listModels, streamChat, type ModelEntry } from "./api";
import { byId } from "./dom";
import { setUpSettings } from "./settings";
import { loadState, saveState, type Turn } from "./store";
import { setUpTheme } from "./theme";
import { TurnView, type TurnActions } from "./turn_view";

const messages = byId("messages", HTMLElement);
const question = byId("question", HTMLTextAreaElement);
const send = byId("send", HTMLButtonElement);
const stop = byId("stop", HTMLButtonElement);
const status = byId("status", HTMLElement);
const numbers = byId("numbers", HTMLElement);
const modelList = byId("model", HTMLSelectElement);

const state = loadState();
let models: ModelEntry[] = [];
let running: AbortController | undefined;

const showFeatures = setUpSettings(byId("settings", HTMLElement), state.settings, () => saveState(state));

const actions: TurnActions = {
  retry: (turn) => {
    // An answer is made anew from the question before it.
    const at = state.turns.indexOf(turn);
    cutTo(turn.role === "assistant" ? at : at + 1);
    void answer();
  },
  edit: (turn, content) => {
    cutTo(state.turns.indexOf(turn) + 1);
    turn.content = content;
    showAll();
    void answer();
  },
};

function cutTo(length: number): void {
  running?.abort();
  state.turns.length = length;
  showAll();
}

function showAll(): void {
  messages.replaceChildren(...state.turns.map((turn) => new TurnView(turn, actions).element));
  saveState(state);
}

function setRunning(controller: AbortController | undefined): void {
  running = controller;
  send.hidden = controller !== undefined;
  stop.hidden = controller === undefined;
  messages.setAttribute("aria-busy", String(controller !== undefined));
}

/** Asks for the answer to the conversation so far and shows it as it comes. */
async function answer(): Promise<void> {
  const controller = new AbortController();
  setRunning(controller);
  const sent = requestBody();
  const turn: Turn = { role: "assistant", content: "" };
  state.turns.push(turn);
  const view = new TurnView(turn, actions);
  messages.append(view.element);
  status.textContent = "Answering";
  const speed = new Speed();
  try {
    for await (const piece of streamChat(sent, controller.signal)) {
      turn.content += piece.text;
      if (piece.probabilities.length > 0) (turn.probabilities ??= []).push(...piece.probabilities);
      if (piece.finishReason === "length") turn.note = "The limit of tokens was reached.";
      speed.add(piece.text !== "", piece.completionTokens);
      view.update();
      saveSoon();
    }
    status.textContent = `Answer complete, ${speed.tokens} tokens`;
  } catch (error) {
    const stopped = controller.signal.aborted;
    turn.note = stopped ? "Stopped." : `Error: ${error instanceof Error ? error.message : String(error)}`;
    status.textContent = stopped ? "Stopped" : turn.note;
  } finally {
    view.finish();
    // A retry may have begun the next answer.
    if (running === controller) setRunning(undefined);
    saveState(state);
  }
}

function requestBody(): Parameters<typeof streamChat>[0] {
  const { system, probabilities, ...sampling } = state.settings;
  const turns = state.turns.map(({ role, content }) => ({ role, content }));
  const features = models.find(({ id }) => id === state.model)?.features ?? [];
  const wanted = probabilities && features.includes("logprobs");
  return {
    model: state.model,
    messages: system === "" ? turns : [{ role: "system", content: system }, ...turns],
    ...sampling,
    ...(wanted ? { logprobs: true, top_logprobs: 5 } : {}),
  };
}

/** Time to the first token, and tokens per second after it. */
class Speed {
  tokens = 0;
  private readonly begun = performance.now();
  private firstAt: number | undefined;

  add(hasText: boolean, exact: number | undefined): void {
    const now = performance.now();
    if (hasText) {
      this.firstAt ??= now;
      this.tokens++;
    }
    if (exact !== undefined) this.tokens = exact;
    if (this.firstAt === undefined) return;
    const seconds = (now - this.firstAt) / 1000;
    // Shorter times are noise.
    const rate = seconds > 0.02 && this.tokens > 1 ? ((this.tokens - 1) / seconds).toFixed(1) : "-";
    numbers.textContent = `first token ${Math.round(this.firstAt - this.begun)} ms, ${rate} tokens/s, ${this.tokens} tokens`;
  }
}

let saving: number | undefined;

/** Writing at every token would cost more than the answer. */
function saveSoon(): void {
  saving ??= window.setTimeout(() => {
    saving = undefined;
    saveState(state);
  }, 500);
}

byId("form", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const content = question.value;
  if (content.trim() === "" || running) return;
  state.turns.push({ role: "user", content });
  question.value = "";
  showAll();
  void answer();
});
question.addEventListener("keydown", (event) => {
  // While an input method composes, Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("form", HTMLFormElement).requestSubmit();
});
stop.addEventListener("click", () => {
  running?.abort();
  question.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
window.addEventListener("pagehide", () => saveState(state));
byId("new", HTMLButtonElement).addEventListener("click", () => {
  cutTo(0);
  numbers.textContent = "";
  status.textContent = "New chat";
  question.focus();
});
const settingsToggle = byId("settings-toggle", HTMLButtonElement);
settingsToggle.addEventListener("click", () => {
  const panel = byId("settings", HTMLElement);
  panel.hidden = !panel.hidden;
  settingsToggle.setAttribute("aria-expanded", String(!panel.hidden));
});
modelList.addEventListener("change", () => chooseModel(modelList.value));

function chooseModel(id: string): void {
  state.model = id;
  modelList.value = id;
  showFeatures(models.find((model) => model.id === id)?.features ?? []);
  saveState(state);
}

async function start(): Promise<void> {
  setUpTheme();
  showAll();
  try {
    models = await listModels();
    modelList.replaceChildren(...models.map(({ id }) => new Option(id, id)));
    chooseModel(models.some(({ id }) => id === state.model) ? state.model : (models[0]?.id ?? ""));
  } catch (error) {
    status.textContent = `The models cannot be listed: ${error instanceof Error ? error.message : String(error)}`;
  }
}

void start();
