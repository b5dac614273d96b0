#!/usr/bin/env bash
# SQLite 3.54.1 (@sqlite.org/sqlite-wasm 3.54.1-build1), and node:sqlite of Node.js 24.21.0 (npm package node 24.21.0) to compare, seen
# on 2026-11-30.
#
# One would guess: a JavaScript number is a 64-bit float, and SQLite has such a type. So a number that is no 64-bit integer is bound as a
# REAL, or refused.
#
# What happens: the interface oo1 binds each finite number without a fraction as an integer, and of one that does not fit 64 bits the lower
# 64 remain, without any error. 2^63 is stored as -2^63, 1e20 as 7766279631452241920, 1e300 and the largest float as 0. A column
# declared REAL keeps 0.0. The fraction decides: 1.5e15 + 0.5 is bound as it is. A BigInt of the same size is refused, and node:sqlite
# stores each of these numbers.
#
# Why it matters: a bound that means "none" (Number.MAX_VALUE) becomes 0, and `WHERE price < ?` finds nothing. Unsigned 64-bit ids and
# hashes that came as numbers change their sign, sums of money in small units and scientific values are other values. The same
# statement with the same argument is right in the server's SQLite and wrong in the browser's.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 @sqlite.org/sqlite-wasm@3.54.1-build1
cat > show.mjs <<'JS'
import { DatabaseSync } from 'node:sqlite';
import initialize from '@sqlite.org/sqlite-wasm';

const sqlite = await initialize({ print: () => {}, printErr: () => {} });
const wasm = new sqlite.oo1.DB(':memory:');
const node = new DatabaseSync(':memory:');
const table = 'CREATE TABLE t (real REAL)';
const insert = 'INSERT INTO t VALUES (?)';
const look = 'SELECT real FROM t ORDER BY rowid DESC LIMIT 1';
wasm.exec(table);
node.exec(table);

const numbers = [2 ** 62, 1.5e15 + 0.5, 2 ** 63, 1e20, 1e300, Number.MAX_VALUE];
const stored = numbers.map((number) => {
  wasm.exec({ sql: insert, bind: [number] });
  node.prepare(insert).run(number);
  const seen = { wasm: wasm.selectValue(look), node: node.prepare(look).get().real, bound: String(wasm.selectValue('SELECT ?', [number])) };
  console.log(`${number}: a REAL column of oo1 keeps ${seen.wasm}, of node:sqlite ${seen.node}; SELECT ? in oo1 says ${seen.bound}`);
  return seen;
});
let refused = false;
try {
  wasm.selectValue('SELECT ?', [2n ** 64n]);
} catch (error) {
  refused = true;
  console.log(`2^64 as a BigInt: ${error.message}`);
}
wasm.exec('DELETE FROM t');
wasm.exec('INSERT INTO t VALUES (10)');
const found = wasm.selectValue('SELECT count(*) FROM t WHERE real < ?', [Number.MAX_VALUE]);
console.log(`rows below the largest number: ${found} of 1`);
const expected = [2 ** 62, 1.5e15 + 0.5, -(2 ** 63), 7766279631452241920, 0, 0];
const same =
  refused &&
  found === 0 &&
  stored.every((seen, at) => seen.wasm === expected[at] && seen.node === numbers[at]) &&
  stored.slice(2).map((seen) => seen.bound).join() === '-9223372036854775808,7766279631452241920,0,0';
process.exit(same ? 0 : 1);
JS
node_modules/.bin/node show.mjs
