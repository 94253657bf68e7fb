import { Option, type Command } from "commander";
import {
  configFromEnvironment,
  mergeConfigs,
  modelArgument,
  parseSetting,
  readConfigFile,
  SETTINGS,
  spelled,
  type Config,
  type Setting,
} from "../../server/config";
import type { BitnetServer, ModelConfig, ServerOptions } from "../../server";
import { addModelOptions, modelOptions, type ModelFlags } from "../model_options";
import { collectArgument } from "../numbers";
import { print } from "../output";

interface Flags extends Omit<ModelFlags, "model">, Omit<Config, "models"> {
  model?: string[];
  template?: string;
  config?: string;
}

const HELP = `
Settings come from flags, then environment variables, then the file of --config: --max-queue is BITNET_MAX_QUEUE and
"maxQueue". Keys: BITNET_API_KEYS (separated by commas) or --api-keys-file. Models: BITNET_MODELS (id=file,...).
SIGTERM and Ctrl-C finish what was begun; a second Ctrl-C stops at once. See docs/server.md.`;

/** `node-bitnet serve` */
export function addServe(program: Command): void {
  const command = program
    .command("serve")
    .description("Serve models over OpenAI's HTTP API, with a chat page")
    .option("-f, --config <file>", "JSON file of settings")
    .option("--template <name>", "chat template: a built-in name or Jinja source (default: the model's own)");
  addModelOptions(command);
  // The same flag as elsewhere, but a server may have several models.
  const model = command.options.find(({ long }) => long === "--model");
  if (model) {
    model.flags = "-m, --model <[id=]file>";
    model.description = "GGUF file; may be given several times (default: the model of the package)";
    model.argParser(collectArgument);
  }
  for (const setting of SETTINGS) addSetting(command, setting);
  command.addHelpText("after", HELP).action(serve);
}

function addSetting(command: Command, { name, kind, value = "value", help }: Setting): void {
  const flag = `--${spelled(name, "-")}`;
  if (kind === "switch") {
    command.addOption(
      new Option(`${flag} [true|false]`, help)
        .preset(true)
        .argParser((given: string | boolean) => (given === true ? true : parseSetting(flag, kind, String(given)))),
    );
  } else if (kind === "list") command.option(`${flag} <${value}>`, help, collectArgument);
  else command.option(`${flag} <${value}>`, help, (given: string) => parseSetting(flag, kind, given));
}

async function serve(flags: Flags): Promise<void> {
  const options = await optionsOf(flags);
  // Loaded here, because no other command needs it.
  const { createServer } = await import("../../server/index.js");
  const server = createServer(options);
  const stopped = stopOnSignals(server);
  const url = await server.listen();
  await print(`node-bitnet serves ${url}/v1${options.page === false ? "" : ` and a chat page at ${url}/`}`);
  if (!isLoopback(options.host) && (options.apiKeys ?? []).length === 0) {
    process.stderr.write("warning: everybody who reaches this address may use the server; set API keys\n");
  }
  await stopped;
}

async function optionsOf(flags: Flags): Promise<ServerOptions> {
  const { config, model, template, threads, kernel, context, kvType, memoryLimit, ...settings } = flags;
  const merged = await mergeConfigs([
    { ...settings, ...(model ? { models: model.map(modelArgument) } : {}) },
    configFromEnvironment(process.env),
    config === undefined ? {} : await readConfigFile(config),
  ]);
  const shared: ModelConfig = {
    ...modelOptions({
      ...(threads === undefined ? {} : { threads }),
      ...(kernel === undefined ? {} : { kernel }),
      ...(context === undefined ? {} : { context }),
      ...(kvType === undefined ? {} : { kvType }),
      ...(memoryLimit === undefined ? {} : { memoryLimit }),
    }),
    ...(template === undefined ? {} : { template }),
  };
  return { ...merged, models: (merged.models ?? [{}]).map((each) => ({ ...shared, ...each })) };
}

/** Resolves when a signal has stopped the server. */
function stopOnSignals(server: BitnetServer): Promise<void> {
  return new Promise((resolve, reject) => {
    let asked = 0;
    const stop = (): void => {
      const stopping = asked++ === 0 ? server.drain() : server.close();
      stopping.then(() => resolve(), reject);
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
  });
}

function isLoopback(host = "127.0.0.1"): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
