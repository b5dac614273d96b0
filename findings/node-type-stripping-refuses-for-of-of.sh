#!/usr/bin/env bash
# Node.js 24.21.0 (npm package node 24.21.0), TypeScript 7.0.2, seen on 2026-11-29.
#
# One would guess: a file that TypeScript accepts, and that uses no syntax but types that can be erased, runs in Node.js by its name.
#
# What happens: `of` is an ordinary name in JavaScript, and `for (const of of list)` is valid: Node.js runs it from a .mjs file, and
# TypeScript accepts it. From a .ts file Node.js refuses to load it, with "Variable declaration list cannot be empty": its parser of
# TypeScript takes the name for the keyword. Beside `for (const … of …)` the name does no harm.
#
# Why it matters: neither the type checker nor a linter says a word, since their parsers accept it. The error is a SyntaxError of the
# loader. A test runner that imports files natively names the test file and no line.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm pkg set type=module
npm install --silent --no-audit --no-fund node@24.21.0 typescript@7.0.2
cat > loop.ts <<'TS'
const seen: number[] = [];
for (const of of [1, 2]) seen.push(of);
console.log('ran:', seen.join(' '));
export {};
TS
sed 's/: number\[\]//' loop.ts > loop.mjs
sed 's/const of of/const on of/; s/push(of)/push(on)/' loop.ts > other-name.ts
printf 'const of: number[] = [1, 2];\nfor (const on of of) console.log("ran:", on);\nexport {};\n' > beside.ts
node=node_modules/.bin/node
npx tsc --noEmit --strict --target esnext --lib esnext,dom --skipLibCheck loop.ts && echo 'TypeScript: accepted'
for file in loop.mjs other-name.ts beside.ts; do "$node" "$file" || exit 1; done
if "$node" loop.ts 2> error.txt; then echo 'Node.js runs loop.ts now'; exit 1; fi
grep -E 'SyntaxError' error.txt
grep -q 'ERR_INVALID_TYPESCRIPT_SYNTAX' error.txt
