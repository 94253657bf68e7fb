import { make } from "./dom";
import type { Settings } from "./store";

type NumberName = Exclude<keyof Settings, "system" | "probabilities">;

const NUMBERS: readonly { name: NumberName; label: string; min: number; max: number; step: number }[] = [
  { name: "max_tokens", label: "Most tokens", min: 1, max: 1_000_000, step: 1 },
  { name: "temperature", label: "Temperature", min: 0, max: 2, step: 0.05 },
  { name: "top_p", label: "Top p", min: 0, max: 1, step: 0.01 },
  { name: "top_k", label: "Top k", min: 0, max: 100_000, step: 1 },
  { name: "min_p", label: "Min p", min: 0, max: 1, step: 0.01 },
  { name: "repetition_penalty", label: "Repetition penalty", min: 0.01, max: 10, step: 0.01 },
  { name: "seed", label: "Seed", min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
];

/** Fills the settings panel; `changed` is called after every change. Returns a function that shows what a model offers. */
export function setUpSettings(
  panel: HTMLElement,
  settings: Settings,
  changed: () => void,
): (features: readonly string[]) => void {
  const system = make("textarea", { attributes: { id: "system", rows: "4" } });
  system.value = settings.system;
  system.addEventListener("input", () => {
    settings.system = system.value;
    changed();
  });
  panel.append(
    make("h2", { text: "Settings" }),
    make("label", { text: "System prompt", attributes: { for: "system" } }),
    system,
  );
  for (const each of NUMBERS) panel.append(...numberField(settings, each, changed));
  const box = make("input", { attributes: { id: "probabilities", type: "checkbox" } });
  box.checked = settings.probabilities;
  box.addEventListener("change", () => {
    settings.probabilities = box.checked;
    changed();
  });
  const hint = make("p", { class: "hint" });
  panel.append(make("label", { class: "row" }, box, "Token probabilities"), hint);
  return (features) => {
    box.disabled = !features.includes("logprobs");
    hint.textContent = box.disabled ? "This model does not report probabilities." : "";
  };
}

function numberField(
  settings: Settings,
  { name, label, min, max, step }: (typeof NUMBERS)[number],
  changed: () => void,
): HTMLElement[] {
  const bounds = { min: String(min), max: String(max), step: String(step) };
  const input = make("input", { attributes: { id: name, type: "number", placeholder: "default", ...bounds } });
  const value = settings[name];
  if (value !== undefined) input.value = String(value);
  input.addEventListener("input", () => {
    if (input.value === "") settings[name] = undefined;
    else if (input.checkValidity()) settings[name] = input.valueAsNumber;
    changed();
  });
  return [make("label", { text: label, attributes: { for: name } }), input];
}
