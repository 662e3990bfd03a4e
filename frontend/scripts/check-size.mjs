// Fails when what a first visit loads has grown beyond its budget of gzipped JavaScript.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { manifest, outDir } from "./paths.mjs";

const BUDGET = 150_000;

const chunks = JSON.parse(readFileSync(manifest, "utf8"));
const seen = new Set();

/** Adds a chunk and what it imports at once; what it imports later is not part of a first visit. */
function visit(name) {
  if (seen.has(name)) return;
  seen.add(name);
  (chunks[name].imports ?? []).forEach(visit);
}
visit("index.html");

let total = 0;
for (const name of seen) {
  const { file } = chunks[name];
  const size = gzipSync(readFileSync(join(outDir, file)), { level: 9 }).length;
  total += size;
  console.log(`${(size / 1000).toFixed(1).padStart(7)} kB  ${file}`);
}
console.log(
  `${(total / 1000).toFixed(1).padStart(7)} kB  of gzipped JavaScript at the first visit; ${BUDGET / 1000} kB allowed`,
);
if (total > BUDGET) process.exit(1);
