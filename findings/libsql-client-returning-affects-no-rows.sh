#!/usr/bin/env bash
# @libsql/client 0.18.0 with libsql 0.5.29 (npm), seen on 2026-11-30.
#
# One would guess: `rowsAffected` of a result is the number of rows that an INSERT, UPDATE or DELETE changed, as the client documents it,
# whether the statement gives them back or not.
#
# What happens: with a `file:` database a statement that has RETURNING says 0, and `lastInsertRowid` is undefined. It did change the rows:
# they are in `rows`, and SQLite's changes() on the same connection counts them. In execute(), in batch() and in a transaction alike.
#
# Why it matters: "no row was affected" is how a lost race is recognised: an update by version, a job taken from a queue. Adding
# RETURNING to such a statement turns each success into a conflict, and who then tries again does the work twice.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @libsql/client@0.18.0 libsql@0.5.29
cat > show.mjs <<'JS'
import { createClient } from '@libsql/client';

const client = createClient({ url: `file:${process.cwd()}/client.db` });
await client.execute('CREATE TABLE jobs (id INTEGER PRIMARY KEY, owner)');
const told = [];
const tell = async (how, sql, run, changes) => {
  const { rowsAffected, lastInsertRowid, rows } = await run(sql);
  const counted = (await changes('SELECT changes()')).rows[0][0];
  console.log(`${how}: ${sql}: affected ${rowsAffected}, last row ${lastInsertRowid}, rows ${rows.length}; SQLite counts ${counted}`);
  told.push([rowsAffected, lastInsertRowid ?? 'none', rows.length, counted].join(' '));
};
const execute = (sql) => client.execute(sql);
const batch = async (sql) => (await client.batch([sql], 'write'))[0];
const insert = 'INSERT INTO jobs (owner) VALUES (NULL), (NULL)';
const update = "UPDATE jobs SET owner = 'me' WHERE id = 1";
await tell('execute', insert, execute, execute);
await tell('execute', `${insert} RETURNING id`, execute, execute);
await tell('execute', `${update} RETURNING id`, execute, execute);
await tell('batch', `${update} RETURNING id`, batch, execute);
await tell('batch', update, batch, execute);
const transaction = await client.transaction('write');
const inside = (sql) => transaction.execute(sql);
await tell('transaction', 'DELETE FROM jobs WHERE id = 2 RETURNING id', inside, inside);
await transaction.commit();
client.close();
const same = [
  ['2', '2', '0', '2'],
  ['0', 'none', '2', '2'],
  ['0', 'none', '1', '1'],
  ['0', 'none', '1', '1'],
  ['1', '4', '0', '1'],
  ['0', 'none', '1', '1'],
].every((expected, at) => told[at] === expected.join(' '));
process.exit(same ? 0 : 1);
JS
node show.mjs
