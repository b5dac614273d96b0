#!/usr/bin/env bash
# Node.js 24.21.0 (npm package node 24.21.0; V8's Map), seen on 2026-11-29.
#
# One would guess: a Map from request numbers to requests under way, into which each is put when it is sent and out of which it is
# taken when it is answered, costs the garbage collector what the hundred requests in it cost. What was answered is garbage of the
# cheap kind, gone with the next collection of young objects.
#
# What happens: once the Map has become old (it has lived through a few collections), what was taken out of it long ago survives
# collections of young objects, and is carried into the old generation. A Map is built anew every so many insertions, and a table
# that was replaced still leads to the one that replaced it: an old table keeps all that came after it, with what stood in them.
# Collections of young objects take many times as long, until a full one; then it begins again. An array whose slots are used
# again by number has none of this.
#
# Why it matters: it is how most servers and drivers keep their pending calls. In a busy gateway it was a third of the CPU, and it
# came and went with chance: a Map that never had an entry while it grew old stays cheap.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --foreground-scripts node@24.21.0 >/dev/null
cat > churn.mjs <<'JS'
import { PerformanceObserver, constants } from 'node:perf_hooks';

/** As many calls under way as a busy server has. */
const underWay = 128;
const calls = 600_000;

class Slots {
  values = new Array(256).fill(undefined);
  set(number, value) {
    this.values[number % 256] = value;
  }
  delete(number) {
    this.values[number % 256] = undefined;
  }
}

let minorMs = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries())
    if (entry.detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) minorMs += entry.duration;
}).observe({ entryTypes: ['gc'] });

const table = process.argv[2] === 'map' ? new Map() : new Slots();
const churn = async (from, to) => {
  for (let number = from; number < to; number++) {
    table.set(number, { text: `call ${number}`, values: [1, 2, 3, 4, 5, 6, 7, 8] });
    table.delete(number - underWay);
    // Observers hear of collections between turns.
    if (number % 10_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
};
await churn(0, 1_000);
for (let again = 0; again < 3; again++) globalThis.gc();
minorMs = 0;
await churn(1_000, calls);
await new Promise((resolve) => setTimeout(resolve, 50));
console.log(minorMs.toFixed(1));
JS
node_modules/.bin/node --version
least() { for _ in 1 2 3; do node_modules/.bin/node --expose-gc churn.mjs "$1"; done | sort -n | head -1; }
map=$(least map)
slots=$(least slots)
echo "collections of young objects, the least of three runs: $map ms with a Map, $slots ms with slots"
awk -v map="$map" -v slots="$slots" 'BEGIN { exit map > 2 * slots ? 0 : 1 }'
