/** What the smoke programs in JavaScript that speak PostgreSQL's protocol share: tables, one row of every type, what it reads as. */
import assert from 'node:assert/strict';
import { bigInteger, bytes, words } from './smoke.mjs';

export const schema = [
  'CREATE TABLE smoke_author (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE)',
  `CREATE TABLE smoke_book (id serial PRIMARY KEY, author_id int NOT NULL REFERENCES smoke_author (id) ON DELETE CASCADE,
     title text NOT NULL)`,
  `CREATE TABLE smoke_value (id int PRIMARY KEY, nil text, big bigint, amount numeric(40, 10), words text, bytes bytea,
     at timestamptz, doc jsonb, ident uuid, list int[], names text[])`,
];

export const row = {
  id: 1,
  nil: null,
  big: bigInteger,
  amount: '-123456789012345678901234.0000000001',
  words,
  bytes: Buffer.from(bytes),
  at: new Date('2026-11-30T23:59:59.123Z'),
  doc: { deep: [1, null, { text: words }] },
  ident: '6ba7b810-9dad-41d1-80b4-00c04fd430c8',
  list: [-2_147_483_648, 0, 2_147_483_647],
  names: ['a,b', 'quoted "c"', words],
};

export const columns = Object.keys(row);
/** The row as the parameters of one INSERT, in the order of `columns`. */
export const parameters = columns.map((name) => {
  if (name === 'doc') return JSON.stringify(row.doc);
  return name === 'big' ? String(row.big) : row[name];
});

/** Fails unless a row that was read is `row`; drivers give 64 bits as text, number or BigInt, and bytes as they like. */
export function sameRow(read) {
  assert.deepEqual(
    { ...read, big: BigInt(read.big), bytes: [...read.bytes], amount: String(read.amount) },
    { ...row, bytes: [...bytes] },
  );
}

/** SQLSTATE of an error, or of what caused it. */
export function sqlstateOf(error) {
  for (let at = error; at !== undefined && at !== null; at = at.cause)
    if (/^[0-9A-Z]{5}$/.test(at.code ?? at.originalCode ?? '')) return at.code ?? at.originalCode;
  return null;
}
