"use strict";
/* global console */
/**
 * Runs a part of the built package with everything that reaches the network or starts a program trapped:
 * child.cjs <action>. Whatever is called is thrown, and told in the last line: `calls: name, name`.
 */
const childProcess = require("node:child_process");
const dgram = require("node:dgram");
const dns = require("node:dns");
const http = require("node:http");
const http2 = require("node:http2");
const https = require("node:https");
const net = require("node:net");
const tls = require("node:tls");

const calls = [];

function trap(name, owner, key) {
  owner[key] = () => {
    calls.push(name);
    throw new Error(`${name} was called`);
  };
}

for (const key of ["spawn", "spawnSync", "exec", "execSync", "execFile", "execFileSync", "fork"]) {
  trap(`child_process.${key}`, childProcess, key);
}
for (const [name, owner] of Object.entries({ dns, "dns.promises": dns.promises })) {
  for (const key of Object.keys(owner)) {
    if (/^(lookup|resolve|reverse)/.test(key)) trap(`${name}.${key}`, owner, key);
  }
}
for (const [name, owner] of Object.entries({ http, https })) {
  trap(`${name}.request`, owner, "request");
  trap(`${name}.get`, owner, "get");
}
trap("http2.connect", http2, "connect");
trap("tls.connect", tls, "connect");
trap("net.connect", net, "connect");
trap("net.createConnection", net, "createConnection");
// Under all of the above, whoever kept them from before.
trap("net.Socket.connect", net.Socket.prototype, "connect");
trap("dgram.createSocket", dgram, "createSocket");
trap("dgram.Socket.send", dgram.Socket.prototype, "send");
for (const key of ["fetch", "WebSocket", "EventSource"]) trap(key, globalThis, key);

const actions = {
  /** A model's whole life, with all that is loaded for it. */
  async life() {
    const { Model } = require("../../dist");
    const model = await Model.load();
    const { text } = await model.generate("Once upon a time", { maxTokens: 8, temperature: 0 });
    const chat = model.chat({ maxTokens: 4, temperature: 0 });
    await chat.ask("Hello");
    await model.embed("Hello");
    await model.close();
    console.log(text.length > 0 ? "a text" : "no text");
  },
  async command() {
    process.argv = [...process.argv.slice(0, 2), "generate", "Once upon a time", "--max-tokens", "8"];
    require("../../dist/cli/main.js");
    await new Promise((resolve) => process.once("beforeExit", resolve));
  },
  /** A server, asked for an answer without a connection. */
  async server() {
    const { createServer } = require("../../dist/server");
    // Not made to listen: Node looks up the address for that.
    const server = createServer({ logLevel: "silent" });
    const { statusCode } = await server.app.inject({
      ...{ method: "POST", url: "/v1/completions" },
      payload: { prompt: "Once upon a time", max_tokens: 4 },
    });
    await server.drain();
    console.log(statusCode);
  },
  /** What does ask the network, to show that the traps see it. */
  async pull(cache) {
    const { pull } = require("../../dist");
    await pull("hf:owner/one", { endpoint: "http://127.0.0.1:9", cache, retryDelay: 1, offline: false }).catch(
      (error) => console.log(error.code),
    );
  },
  async socket() {
    try {
      net.connect(9);
    } catch (error) {
      console.log(error.message);
    }
  },
};

const [action, ...given] = process.argv.slice(2);
process.on("exit", () => console.log(`calls: ${calls.join(", ")}`));
void actions[action](...given);
