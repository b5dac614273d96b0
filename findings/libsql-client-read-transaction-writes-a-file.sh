#!/usr/bin/env bash
# @libsql/client 0.18.0 with libsql 0.5.29 (npm), and SQLite 3.54.1 (@sqlite.org/sqlite-wasm 3.54.1-build1), seen on 2026-11-30.
#
# One would guess: `client.transaction('read')` and `client.batch(…, 'read')` take no statement that writes. The client's
# documentation says so, and that they begin with BEGIN TRANSACTION READONLY, words that libSQL adds to SQLite's.
#
# What happens: with a `file:` database they write and commit, without any error. In the grammar of SQLite a transaction may have a
# name, which is read and forgotten: BEGIN TRANSACTION READONLY begins an ordinary transaction called READONLY, as BEGIN TRANSACTION
# ANYTHING begins one called ANYTHING. The embedded libSQL takes both the same way: the mode is left to a server.
#
# Why it matters: tests and development run on a file. A mode that was chosen wrongly passes there, and fails against a server that
# keeps to the documentation. And whoever puts another server behind this client gets no syntax error from SQLite that would tell:
# such a server has to look for the words itself.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @libsql/client@0.18.0 libsql@0.5.29 @sqlite.org/sqlite-wasm@3.54.1-build1
cat > show.mjs <<'JS'
import { createClient } from '@libsql/client';
import initialize from '@sqlite.org/sqlite-wasm';
import Database from 'libsql';

const insert = 'INSERT INTO t VALUES (1)';
const client = createClient({ url: `file:${process.cwd()}/client.db` });
const rows = async () => Number((await client.execute('SELECT count(*) FROM t')).rows[0][0]);
await client.execute('CREATE TABLE t (n)');
const transaction = await client.transaction('read');
await transaction.execute(insert);
await transaction.commit();
const afterTransaction = await rows();
await client.batch([insert], 'read');
const afterBatch = await rows();
client.close();
console.log(`rows after a write in a read transaction: ${afterTransaction}; after one in a read batch: ${afterBatch}`);

const sqlite = await initialize({ print: () => {}, printErr: () => {} });
const stock = new sqlite.oo1.DB(':memory:');
const embedded = new Database(':memory:');
/** How many rows there are after a transaction that begins so, has inserted one and been committed. */
const written = (begin) => {
  const counts = [];
  for (const [run, count] of [
    [(sql) => stock.exec(sql), () => stock.selectValue('SELECT count(*) FROM t')],
    [(sql) => embedded.exec(sql), () => embedded.prepare('SELECT count(*) AS rows FROM t').get().rows],
  ]) {
    run('DROP TABLE IF EXISTS t; CREATE TABLE t (n)');
    run(begin);
    run(insert);
    run('COMMIT');
    counts.push(count());
  }
  console.log(`${begin}: ${counts[0]} row in stock SQLite, ${counts[1]} in the embedded libSQL`);
  return counts.join();
};
const named = [written('BEGIN TRANSACTION READONLY'), written('BEGIN TRANSACTION ANYTHING')];
process.exit(afterTransaction === 1 && afterBatch === 2 && named.every((counts) => counts === '1,1') ? 0 : 1);
JS
node show.mjs
