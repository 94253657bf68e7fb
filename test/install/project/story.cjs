"use strict";

const { Model } = require("node-bitnet");
const { tell } = require("./tell.cjs");

void tell(Model).then((line) => process.stdout.write(line));
