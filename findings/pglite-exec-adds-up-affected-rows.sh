#!/usr/bin/env bash
# @electric-sql/pglite 0.5.17 (npm), seen on 2026-11-30.
#
# One would guess: exec() runs several statements and gives a result for each. `affectedRows` of a result is the number of rows that this
# statement changed, as it is with query().
#
# What happens: it is the sum of the statement's rows and those of all statements before it in the same call. A SELECT after an INSERT of
# two rows, an UPDATE or a DELETE that found nothing: each says 2. Only a comment at another field of the type says so: `rowCount`,
# which is the statement's own. PostgreSQL's own answers, which execProtocol() hands out, are right, and so is query().
#
# Why it matters: a conditional update is known by the number of rows that it changed: a lease taken, a version that still held. Behind
# any statement that changes something, one that changed nothing says 1, and two clients believe that they have won.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @electric-sql/pglite@0.5.17
cat > show.mjs <<'JS'
import { PGlite } from '@electric-sql/pglite';

const db = await PGlite.create();
await db.exec("CREATE TABLE lease (id int PRIMARY KEY, owner text); INSERT INTO lease VALUES (1, 'other'); CREATE TABLE log (line text)");
const statements = [
  "INSERT INTO log VALUES ('one asks'), ('for the lease')",
  "UPDATE lease SET owner = 'me' WHERE id = 1 AND owner IS NULL",
  'SELECT * FROM lease',
  "INSERT INTO log VALUES ('one has asked')",
  'DELETE FROM lease WHERE id = 7',
];
const together = (await db.exec(statements.join(';'))).map((result) => result.affectedRows);
const alone = [];
for (const statement of statements) alone.push((await db.query(statement)).affectedRows);

// A message Query of the protocol: its letter, its length, the text and a zero.
const text = Buffer.from(`${statements.join(';')}\0`);
const length = Buffer.alloc(4);
length.writeInt32BE(4 + text.length);
const { messages } = await db.execProtocol(Buffer.concat([Buffer.from('Q'), length, text]));
const answers = messages.filter((message) => message.name === 'commandComplete').map((message) => message.text);
for (const [at, statement] of statements.entries())
  console.log(`${statement}: exec says ${together[at]}, query ${alone[at]}, the engine "${answers[at]}"`);
await db.close();
const same =
  together.join() === '2,2,2,3,3' &&
  alone.join() === '2,0,0,1,0' &&
  answers.join() === 'INSERT 0 2,UPDATE 0,SELECT 1,INSERT 0 1,DELETE 0';
process.exit(same ? 0 : 1);
JS
node show.mjs
