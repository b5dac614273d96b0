#!/usr/bin/env bash
# node:sqlite of Node.js 24.21.0 (npm package node 24.21.0), seen on 2026-11-30.
#
# One would guess: changes that a session recorded and applyChangeset() applied, which then returns true, are in the other database. What
# cannot be applied goes to `onConflict`, or is an error.
#
# What happens: true means that it was not aborted. Changes of a table that the other database does not have, or has with another primary
# key or with fewer columns, are skipped; applyChangeset() returns true, and `onConflict` is not called. Tables without a primary
# key and rows with NULL in it, which SQLite allows, are not even recorded. SQLite says it in its log of warnings, which node:sqlite
# does not show.
#
# Why it matters: changesets are the short way to replicate SQLite, and schemas differ while they are changed: one side is always first.
# What is written meanwhile is lost at the other side, and each step has reported success. The schemas have to be compared by hand.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0
cat > show.mjs <<'JS'
import { DatabaseSync } from 'node:sqlite';

const schema = 'CREATE TABLE t (id INTEGER PRIMARY KEY, v)';
/** Applies what `write` does to a database of schema `from` to one of schema `to`. */
const replicate = (name, from, write, to) => {
  const [source, target] = [new DatabaseSync(':memory:'), new DatabaseSync(':memory:')];
  source.exec(from);
  target.exec(to);
  const session = source.createSession();
  source.exec(write);
  const changeset = session.changeset();
  let conflicts = 0;
  const applied = target.applyChangeset(changeset, {
    onConflict: () => {
      conflicts++;
      return 0;
    },
  });
  const there = target.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 't'").get().n === 1;
  const rows = there ? target.prepare('SELECT count(*) AS n FROM t').get().n : 0;
  console.log(`${name}: ${changeset.length} bytes recorded, applied ${applied}, conflicts ${conflicts}, rows at the other side ${rows}`);
  return [changeset.length > 0, applied, conflicts, rows].join();
};
const insert = "INSERT INTO t VALUES (1, 'a')";
const usual = replicate('the same schema', schema, insert, schema);
const more = replicate('one column more', schema, insert, 'CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)');
const skipped = [
  replicate('no such table', schema, insert, 'CREATE TABLE other (id INTEGER PRIMARY KEY, v)'),
  replicate('another primary key', schema, insert, 'CREATE TABLE t (id INTEGER, v PRIMARY KEY)'),
  replicate('a column fewer', schema, insert, 'CREATE TABLE t (id INTEGER PRIMARY KEY)'),
];
const keyless = 'CREATE TABLE t (id, v)';
const nullable = 'CREATE TABLE t (id TEXT PRIMARY KEY, v)';
const unrecorded = [
  replicate('no primary key', keyless, insert, keyless),
  replicate('NULL in the primary key', nullable, "INSERT INTO t VALUES (NULL, 'a')", nullable),
];
const same =
  usual === 'true,true,0,1' &&
  more === 'true,true,0,1' &&
  skipped.every((seen) => seen === 'true,true,0,0') &&
  unrecorded.every((seen) => seen === 'false,true,0,0');
process.exit(same ? 0 : 1);
JS
node_modules/.bin/node show.mjs
