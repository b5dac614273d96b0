#!/usr/bin/env bash
# @sqlite.org/sqlite-wasm 3.54.1-build1 (SQLite 3.54.1), seen on 2026-12-01.
#
# One would guess: ALTER TABLE … RENAME COLUMN to a name that the table has already is refused, whatever is set: `PRAGMA writable_schema`
# is about statements that write to sqlite_schema themselves.
#
# What happens: while `writable_schema` is on, ALTER TABLE takes errors in the schema that it makes for the user's own business, and
# says that all is well. The table is then `(id, b, b)`, and from the next look at the schema on nothing of the whole database can be
# read: every statement, on every connection, says that the schema is malformed.
#
# Why it matters: migrations turn the setting on for one edit that ALTER cannot make, and go on with ALTERs that were written to fail
# when they were run before. Turn it off again (RESET) before anything else is done; to mend such a database, turn it on and edit the
# text of the table back.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @sqlite.org/sqlite-wasm@3.54.1-build1
cat > show.mjs <<'JS'
import init from '@sqlite.org/sqlite-wasm';

const sqlite3 = await init({ print: () => undefined, printErr: () => undefined });
const db = new sqlite3.oo1.DB(':memory:');
db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE TABLE other (x); INSERT INTO t VALUES (1, 2, 3)');
const tried = (sql) => {
  try {
    db.exec(sql);
    return 'ok';
  } catch (error) {
    return error.message.split(/code \d+: /).at(-1);
  }
};
const rename = 'ALTER TABLE t RENAME COLUMN a TO b';
const refused = tried(rename);
tried('PRAGMA writable_schema = ON');
const taken = tried(rename);
tried('PRAGMA writable_schema = RESET');
const other = tried('SELECT * FROM other');
console.log(`as usual: ${refused}; with a writable schema: ${taken}; another table afterwards: ${other}`);
tried('PRAGMA writable_schema = ON');
tried("UPDATE sqlite_schema SET sql = 'CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)' WHERE name = 't'");
tried('PRAGMA writable_schema = RESET');
const mended = tried('SELECT a, b FROM t');
console.log(`after the text was edited back: ${mended}`);
process.exit(refused !== 'ok' && taken === 'ok' && other !== 'ok' && mended === 'ok' ? 0 : 1);
JS
node show.mjs 2>/dev/null
