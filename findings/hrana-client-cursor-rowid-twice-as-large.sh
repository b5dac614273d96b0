#!/usr/bin/env bash
# @libsql/hrana-client 0.10.0, seen on 2026-11-29.
#
# One would guess: the id of an inserted row is the same whether a batch is answered whole or through a cursor.
#
# What happens: over HTTP with protocol version 3 the client speaks protobuf. The specification of Hrana 3 makes last_insert_rowid a
# sint64 (zigzag) in StmtResult and in the cursor's StepEnd alike. The client reads the first as sint64 and the second as uint64. So
# from a server that keeps to the specification a cursor's ids are twice as large as they are, and that of a negative row is odd and
# positive.
#
# Why it matters: an application that inserts through a cursor and uses the id refers to another row, without any error. A server
# cannot mend it: one that sends what this client reads right is wrong for every other client.
#
# Exit code 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @libsql/hrana-client@0.10.0
cat > show.mjs <<'JS'
import { createServer } from 'node:http';
import { openHttp } from '@libsql/hrana-client';

// Protobuf by hand: a field is a tag and a varint, or a tag, a length and bytes.
const varint = (value) => {
  const bytes = [];
  for (let rest = BigInt(value); ; rest >>= 7n) {
    if (rest < 128n) return [...bytes, Number(rest)];
    bytes.push(Number(rest & 127n) | 128);
  }
};
const zigzag = (value) => BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n));
const number = (field, value) => [...varint(field << 3), ...varint(value)];
const message = (field, bytes) => [...varint((field << 3) | 2), ...varint(bytes.length), ...bytes];
const delimited = (bytes) => [...varint(bytes.length), ...bytes];

/** What a server answers to one INSERT that made row `rowid`. */
const cursorOf = (rowid) =>
  Buffer.from([
    ...delimited([]), // CursorRespBody without baton
    ...delimited(message(1, number(1, 0))), // StepBegin { step = 0 }
    ...delimited(message(2, [...number(1, 1), ...number(2, zigzag(rowid))])), // StepEnd { affected_row_count, last_insert_rowid }
  ]);
/** PipelineRespBody { results { ok { batch { BatchResult { step_results { 0 => StmtResult } } } } } } */
const pipelineOf = (rowid) => {
  const result = [...number(3, 1), ...number(4, zigzag(rowid))];
  const step = [...number(1, 0), ...message(2, result)];
  return Buffer.from(message(3, message(1, message(3, message(1, message(1, step))))));
};

let rowid = 0;
const server = createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    if (request.url === '/v3-protobuf/cursor') response.end(cursorOf(rowid));
    else if (request.url === '/v3-protobuf/pipeline') response.end(pipelineOf(rowid));
    else response.end();
  });
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));

const read = async (useCursor) => {
  const client = openHttp(`http://127.0.0.1:${server.address().port}`, undefined, undefined, undefined, 3);
  client.intMode = 'bigint';
  await client.getVersion();
  const stream = client.openStream();
  const batch = stream.batch(useCursor);
  const inserted = batch.step().run('INSERT INTO t VALUES (1)');
  await batch.execute();
  const { lastInsertRowid } = await inserted;
  client.close();
  return lastInsertRowid;
};

let same = true;
for (const id of [7n, 123456789n, -3n]) {
  rowid = id;
  const [whole, cursor] = [await read(false), await read(true)];
  console.log(`row ${id}: a whole answer says ${whole}, a cursor says ${cursor}`);
  same &&= BigInt(whole) === id && BigInt(cursor) === zigzag(id);
}
server.close();
process.exit(same ? 0 : 1);
JS
node show.mjs
