#!/usr/bin/env bash
# SQLite 3.54.1 (@sqlite.org/sqlite-wasm 3.54.1-build1), seen on 2026-12-01.
#
# One would guess: a statement that is prepared and never stepped changes nothing, and one behind EXPLAIN does not even when it is
# stepped: it lists the program that would run.
#
# What happens: some PRAGMAs do their work while they are prepared, EXPLAIN or not. EXPLAIN PRAGMA foreign_keys = OFF and EXPLAIN QUERY
# PLAN PRAGMA recursive_triggers = ON have changed the connection once they are prepared, and nothing was run. Others, such as
# user_version, wait for the step that EXPLAIN takes from them, so that one rule does not fit all.
#
# Why it matters: what prepares a statement only to describe it (its columns, its parameters, whether it writes), or explains it for a
# person, changes settings of a connection that somebody else may use next. Whoever serves many clients from one pool has to look for
# the PRAGMA behind the word EXPLAIN, and cannot rely on not having run it.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @sqlite.org/sqlite-wasm@3.54.1-build1
cat > show.mjs <<'JS'
import init from '@sqlite.org/sqlite-wasm';

const sqlite = await init({ print: () => {}, printErr: () => {} });
const db = new sqlite.oo1.DB(':memory:');
db.exec('PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = OFF; PRAGMA user_version = 1');
const settings = () =>
  ['foreign_keys', 'recursive_triggers', 'user_version'].map((name) => db.selectValue(`PRAGMA ${name}`)).join(' ');
const before = settings();
for (const text of [
  'EXPLAIN PRAGMA foreign_keys = OFF',
  'EXPLAIN QUERY PLAN PRAGMA recursive_triggers = ON',
  'EXPLAIN PRAGMA user_version = 2',
])
  db.prepare(text).finalize();
const after = settings();
console.log(`foreign_keys, recursive_triggers and user_version: ${before} before, ${after} after statements that were only prepared`);
process.exit(before === '1 0 1' && after === '0 1 1' ? 0 : 1);
JS
node show.mjs
