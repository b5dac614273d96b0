#!/usr/bin/env bash
# node:sqlite of Node.js 24.21.0 (npm package node 24.21.0), libsql 0.5.29 and @libsql/client 0.18.0 (npm), seen on 2026-11-30.
#
# One would guess: a text with two statements, given to a call for one, runs both or is refused, as the module sqlite3 of Python
# refuses it.
#
# What happens: the first one runs, and what follows its semicolon is forgotten, without an error: a second statement, or words that are
# no SQL. So do prepare() of node:sqlite and of libsql, and execute() and batch() of @libsql/client with a `file:` database. SQLite
# hands the rest of the text back when it prepares a statement, and these drivers drop it.
#
# Why it matters: migrations and seeds are kept as files of statements. One that goes through such a call, "CREATE TABLE …; CREATE UNIQUE
# INDEX …", succeeds, is noted as done, and the index is missing from then on: duplicates come in that everybody thinks impossible.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 @libsql/client@0.18.0 libsql@0.5.29
cat > python.py <<'PY'
import sqlite3
import sys

try:
    sqlite3.connect(":memory:").execute(sys.argv[1])
    print("taken")
except (sqlite3.Warning, sqlite3.ProgrammingError) as error:
    print(f"refused: {error}")
PY
cat > show.mjs <<'JS'
import { execFileSync } from 'node:child_process';
import { DatabaseSync } from 'node:sqlite';
import { createClient } from '@libsql/client';
import Libsql from 'libsql';

const both = 'CREATE TABLE t (n); CREATE UNIQUE INDEX i ON t (n)';
const noSql = 'DROP TABLE t; these words are no SQL';
const look = "SELECT group_concat(type || ' ' || name, ', ') AS names FROM sqlite_schema";
const node = new DatabaseSync(':memory:');
const libsql = new Libsql(':memory:');
const client = createClient({ url: `file:${process.cwd()}/client.db` });
const calls = {
  'node:sqlite prepare': [(sql) => node.prepare(sql).run(), () => node.prepare(look).get().names],
  'libsql prepare': [(sql) => libsql.prepare(sql).run(), () => libsql.prepare(look).get().names],
  '@libsql/client execute': [(sql) => client.execute(sql), async () => (await client.execute(look)).rows[0].names],
  '@libsql/client batch': [(sql) => client.batch([sql], 'write'), async () => (await client.execute(look)).rows[0].names],
};
let same = true;
for (const [name, [run, names]] of Object.entries(calls)) {
  await run(both);
  const made = await names();
  await run(noSql);
  const left = await names();
  console.log(`${name}: after table and index there is "${made}"; after words that are no SQL "${left ?? ''}"`);
  same &&= made === 'table t' && left === null;
}
client.close();
const python = execFileSync('python3', ['python.py', both], { encoding: 'utf8' }).trim();
console.log(`Python: ${python}`);
process.exit(same && python.startsWith('refused') ? 0 : 1);
JS
node_modules/.bin/node show.mjs
