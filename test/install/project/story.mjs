import process from "node:process";
import { Model } from "node-bitnet";
import * as server from "node-bitnet/server";
import { tell } from "./tell.cjs";

if (Object.keys(server).length === 0) throw new Error("node-bitnet/server exports nothing");
process.stdout.write(await tell(Model));
