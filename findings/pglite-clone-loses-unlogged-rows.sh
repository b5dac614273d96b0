#!/usr/bin/env bash
# @electric-sql/pglite 0.5.17 (npm), seen on 2026-11-30.
#
# One would guess: clone() gives a second database with the same contents, and dumpDataDir() a file from which they can be loaded. So does
# a CHECKPOINT before it, at the latest.
#
# What happens: the copy is that of a server that was not shut down, and who opens it does what PostgreSQL does after a crash. Unlogged
# tables are there and empty, with or without a CHECKPOINT, in a clone and in a loaded dump. Sequences go on 32 numbers later, unless
# a CHECKPOINT came last. Nothing says so: no error and no notice. After close() a database that is opened again at its path has
# everything.
#
# Why it matters: unlogged tables are what one takes for test data, caches, queues and staging, and a clone for each test of a template
# that was filled once is what this call is good for. Each test then runs on no rows, and many of them pass.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @electric-sql/pglite@0.5.17
cat > show.mjs <<'JS'
import { PGlite } from '@electric-sql/pglite';

const db = await PGlite.create('data');
await db.exec(`
  CREATE TABLE logged (n int); INSERT INTO logged VALUES (1), (2);
  CREATE UNLOGGED TABLE unlogged (n int); INSERT INTO unlogged VALUES (1), (2);
  CREATE SEQUENCE ids; SELECT nextval('ids')`);
const seen = {};
/** How many rows a database has, and which number its sequence gives next. */
const look = async (name, database) => {
  const rows = async (table) => (await database.query(`SELECT count(*)::int AS n FROM ${table}`)).rows[0].n;
  const [logged, unlogged] = [await rows('logged'), await rows('unlogged')];
  const next = (await database.query("SELECT nextval('ids')::int AS n")).rows[0].n;
  seen[name] = [logged, unlogged, next].join();
  console.log(`${name}: ${logged} rows logged, ${unlogged} unlogged, next number ${next}`);
  await database.close();
};
await look('clone', await db.clone());
await db.exec('CHECKPOINT');
await look('clone after CHECKPOINT', await db.clone());
await look('loaded dump', await PGlite.create({ loadDataDir: await db.dumpDataDir('none') }));
await db.close();
await look('opened again', await PGlite.create('data'));
const expected = { clone: '2,0,34', 'clone after CHECKPOINT': '2,0,2', 'loaded dump': '2,0,2', 'opened again': '2,2,2' };
process.exit(JSON.stringify(seen) === JSON.stringify(expected) ? 0 : 1);
JS
node show.mjs
