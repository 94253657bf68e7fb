import { request } from "./api";
import { Chart } from "./chart";
import { byId, make } from "./dom";
import { parseMetrics, quantile, total, type Sample } from "./metrics_text";
import { setUpTheme } from "./theme";

const EVERY_MS = 2000;

/** Two readings and the time between them. */
interface Readings {
  before: Sample[];
  after: Sample[];
  seconds: number;
}

const count = (value: number): string => String(Math.round(value));
const milliseconds = (seconds: number): string => `${(seconds * 1000).toFixed(1)} ms`;
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

const rate =
  (name: string) =>
  ({ before, after, seconds }: Readings): number | undefined => {
    const now = total(after, name);
    return now === undefined ? undefined : (now - (total(before, name) ?? 0)) / seconds;
  };
const spread =
  (name: string, share: number) =>
  ({ before, after }: Readings): number | undefined =>
    quantile(before, after, name, share);
const level =
  (name: string, labels?: Readonly<Record<string, string>>) =>
  ({ after }: Readings): number | undefined =>
    total(after, name, labels);

const CHARTS: readonly { chart: Chart; read: (readings: Readings) => number | undefined }[] = [
  { chart: new Chart("Generated tokens/s", (v) => v.toFixed(1)), read: rate("bitnet_completion_tokens_total") },
  { chart: new Chart("Prompt tokens/s", (v) => v.toFixed(1)), read: rate("bitnet_prompt_tokens_total") },
  { chart: new Chart("Requests/s", (v) => v.toFixed(2)), read: rate("bitnet_http_requests_total") },
  {
    chart: new Chart("Time to first token, median", milliseconds),
    read: spread("bitnet_time_to_first_token_seconds", 0.5),
  },
  {
    chart: new Chart("Time to first token, 95 %", milliseconds),
    read: spread("bitnet_time_to_first_token_seconds", 0.95),
  },
  {
    chart: new Chart("Time between tokens, 95 %", milliseconds),
    read: spread("bitnet_time_between_tokens_seconds", 0.95),
  },
  { chart: new Chart("Running texts", count), read: level("bitnet_running_texts") },
  { chart: new Chart("Queue", count), read: level("bitnet_queue_length") },
  { chart: new Chart("Memory of the process", mebibytes), read: level("process_resident_memory_bytes") },
  { chart: new Chart("KV blocks in use", count), read: level("bitnet_kv_blocks", { state: "used" }) },
];

function showModels(samples: readonly Sample[]): void {
  const rows = samples
    .filter(({ name }) => name === "bitnet_model_loaded")
    .map(({ labels, value }) => {
      const { model = "" } = labels;
      const of = (name: string): number => total(samples, name, { model }) ?? 0;
      const cells = [
        value === 1 ? "loaded" : "not loaded",
        mebibytes(of("bitnet_model_memory_bytes")),
        count(of("bitnet_prompt_tokens_total")),
        count(of("bitnet_prompt_tokens_cached_total")),
        count(of("bitnet_completion_tokens_total")),
      ];
      const head = make("th", { text: model, attributes: { scope: "row" } });
      return make("tr", {}, head, ...cells.map((text) => make("td", { text })));
    });
  byId("models", HTMLElement).replaceChildren(...rows);
}

async function run(): Promise<void> {
  setUpTheme();
  const status = byId("status", HTMLElement);
  byId("charts", HTMLElement).append(...CHARTS.map(({ chart }) => chart.element));
  let before: Sample[] | undefined;
  let beforeAt = 0;
  for (;;) {
    try {
      const after = parseMetrics(await (await request("metrics")).text());
      const now = performance.now();
      if (before) {
        const readings = { before, after, seconds: (now - beforeAt) / 1000 };
        for (const { chart, read } of CHARTS) chart.add(read(readings));
      }
      showModels(after);
      before = after;
      beforeAt = now;
      // Written only when it changes: a screen reader would repeat it.
      if (status.textContent !== "Live") status.textContent = "Live";
    } catch (error) {
      status.textContent = `No numbers: ${error instanceof Error ? error.message : String(error)}`;
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

void run();
