#!/usr/bin/env node
// Makes a component of a module that exports a transform:
//
//   relay-guest MODULE OUT.wasm [--wit FILE]
//
// MODULE may be JavaScript or TypeScript, whose types are not checked here, and
// may import others. FILE is wit/transform.wit unless given.

import { mkdtemp, readFile, realpath, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { componentize } from "@bytecodealliance/componentize-js";
import { rolldown } from "rolldown";

const HOST = "relay:transform/host@1.0.0";

/** All that the component runs, as the text of one module. */
async function bundle(module) {
  const entry = "relay:entry";
  const glue = fileURLToPath(new URL("src/component.js", import.meta.url));
  const text = [
    `import { log } from ${JSON.stringify(HOST)};`,
    `import { component } from ${JSON.stringify(glue)};`,
    `import transform from ${JSON.stringify(module)};`,
    "export const transformer = component(transform, log);",
  ].join("\n");
  const bundled = await rolldown({
    input: entry,
    external: [HOST],
    // Where a package has a build for browsers, it is the one without Node's modules.
    platform: "browser",
    // Paths in the output's comments are relative to this, and tell nothing of the machine.
    cwd: dirname(module),
    plugins: [
      {
        name: "relay-entry",
        resolveId: (id) => (id === entry ? id : undefined),
        load: (id) => (id === entry ? text : undefined),
      },
    ],
    onLog(level, log) {
      throw new Error(`${log.code ?? level}: ${log.message}`);
    },
  });
  const { output } = await bundled.generate({ format: "esm", codeSplitting: false });
  return output[0].code;
}

/** Runs the module once and keeps the engine's memory as a component. */
async function component(code, wit) {
  const folder = await mkdtemp(join(tmpdir(), "relay-guest-"));
  const back = process.cwd();
  try {
    // The engine takes its paths from one line, apart at spaces.
    if (/\s/.test(folder)) throw new Error(`${tmpdir()} has a space: name another folder by TMPDIR`);
    await writeFile(join(folder, "transform.js"), code);
    process.chdir(folder);
    const made = await componentize({
      sourcePath: "transform.js",
      witWorld: wit,
      worldName: "transform",
      disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"],
    });
    return made.component;
  } finally {
    process.chdir(back);
    await rm(folder, { recursive: true, force: true });
  }
}

async function main() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { wit: { type: "string", default: "wit/transform.wit" } } });
  if (positionals.length !== 2) throw new Error("usage: relay-guest MODULE OUT.wasm [--wit FILE]");
  const [module, out] = positionals;
  const wit = await readFile(values.wit, "utf8").catch(() => {
    throw new Error(`the contract is not at ${values.wit}: run this in the project's folder, or name the file by --wit`);
  });
  const code = await bundle(await realpath(module));
  // Renamed into place: a running relay may watch the file.
  await writeFile(`${out}.new`, await component(code, wit));
  await rename(`${out}.new`, out);
  console.error(`made ${relative(process.cwd(), resolve(out))}`);
}

try {
  await main();
} catch (error) {
  console.error(`relay-guest: ${error.message}`);
  process.exitCode = 1;
}
