import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunningGateway } from '../../../gateway/process/gateway.ts';
import { exportFile } from '../../../regions/transfer/export-file.ts';
import { SqlLink } from '../../../regions/transfer/sql-link.ts';
import { makeAwkwardFile } from '../../regions/transfer/awkward-file.ts';
import { contentsOf } from '../../regions/transfer/contents.ts';
import { importFrom, startWire } from '../../regions/transfer/transfer-harness.ts';
import { GatewayWorld, ready, urlOf, writes } from './gateway-harness.ts';

let world: GatewayWorld;
let writer: RunningGateway;
let beside: RunningGateway;
let directory = '';
const file = (name: string): string => join(directory, name);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sextant-transfer-'));
  world = await GatewayWorld.start();
  writer = await world.gateway('g1');
  await writes(writer);
  beside = await world.gateway('g2');
  await Promise.all([writer, beside].map((gateway) => ready(urlOf(gateway))));
  makeAwkwardFile(file('a.db'));
});
afterAll(async () => {
  await world.close();
  rmSync(directory, { recursive: true, force: true });
});

const listener = { begun: () => {}, progress: () => {}, note: () => {}, local: () => {} };
const exported = (
  gateway: RunningGateway,
  name: string,
  format: 'sqlite' | 'sql' = 'sqlite',
  force = false,
) => exportFile(new SqlLink(urlOf(gateway), null), { to: file(name), format, force }, listener);

describe('a file that went in by one gateway and came out by another', () => {
  beforeAll(async () => {
    await importFrom(file('a.db'), urlOf(beside));
  });

  test('is the same, row by row', async () => {
    await exported(writer, 'b.db');
    expect(contentsOf(file('b.db'))).toEqual(contentsOf(file('a.db')));
  });

  test('is the same as SQL text', async () => {
    await exported(beside, 'b.sql', 'sql');
    const db = new DatabaseSync(file('c.db'), { defensive: false });
    db.exec(readFileSync(file('b.sql'), 'utf8'));
    db.close();
    expect(contentsOf(file('c.db'))).toEqual(contentsOf(file('a.db')));
  });

  test('has its full-text indexes, which go on', async () => {
    for (const gateway of [writer, beside]) {
      const client = world.client(gateway);
      const found = await client.execute("SELECT rowid FROM bare WHERE bare MATCH 'content'");
      expect(found.rows.map((row) => row[0])).toEqual([12n]);
      await client.execute("INSERT INTO words (title, body) VALUES ('again', 'a wolverine')");
      expect(
        (await client.execute("SELECT title FROM words WHERE words MATCH 'wolverine'")).rows[0]?.[0],
      ).toBe('again');
      await client.execute("INSERT INTO words (words) VALUES ('integrity-check')");
      await client.execute("DELETE FROM words WHERE title = 'again'");
    }
  });

  test('does not replace a file, unless it is told to, and leaves nothing beside it', async () => {
    writeFileSync(file('there'), 'precious');
    await expect(exported(writer, 'there')).rejects.toThrow(/exists: --force replaces it/);
    await exported(writer, 'there', 'sqlite', true);
    expect(contentsOf(file('there')).integrity).toEqual([['ok']]);
    expect(readdirSync(directory).filter((name) => name.includes('partial'))).toEqual([]);
  });

  test('is not there at all when it cannot be written whole', async () => {
    const nobody = new SqlLink('http://127.0.0.1:9', null);
    const options = { to: file('never.db'), format: 'sqlite', force: false } as const;
    await expect(exportFile(nobody, options, listener)).rejects.toThrow(/does not answer/);
    await expect(exported(writer, 'no/such/folder.db')).rejects.toThrow(/cannot be written: ENOENT/);
    expect(existsSync(file('never.db'))).toBe(false);
  });
});

test('R81: an export shows one moment while writes go on', async () => {
  const client = world.client(writer, 'ws');
  await client.batch(
    [
      'CREATE TABLE pair (side TEXT PRIMARY KEY, n INTEGER)',
      "INSERT INTO pair VALUES ('a', 0), ('b', 0)",
      'CREATE TABLE filler (v)',
    ],
    'write',
  );
  let isOver = false;
  const writing = (async () => {
    for (let n = 1; !isOver; n += 1)
      await client.batch(
        [
          `UPDATE pair SET n = ${n} WHERE side = 'a'`,
          'INSERT INTO filler VALUES (randomblob(9000))',
          `UPDATE pair SET n = ${n} WHERE side = 'b'`,
        ],
        'write',
      );
  })();
  const seen: bigint[] = [];
  for (const [at, gateway] of [writer, beside, writer].entries()) {
    const { lsn } = await exported(gateway, `pair-${at}.db`);
    expect(lsn).toBeGreaterThan(0);
    const { tables, integrity } = contentsOf(file(`pair-${at}.db`), ['filler']);
    expect(integrity).toEqual([['ok']]);
    const [a, b] = (tables.pair ?? []).map((row) => (row as unknown[])[4]);
    expect(a).toBe(b);
    seen.push(a as bigint);
  }
  isOver = true;
  await writing;
  // Each begins after the one before it ended, and sees every write acknowledged by then.
  expect([...seen].sort((a, b) => Number(a - b))).toEqual(seen);
  expect(seen[2]).toBeGreaterThan(seen[0] ?? 0n);
});

describe('R81: a copy whose transaction is lost', () => {
  test('begins anew, and is one moment all the same', async () => {
    const notes: string[] = [];
    const wire = await startWire(urlOf(writer), (_body, at) =>
      at === 1 || at === 3 ? 'unanswered' : 'answered',
    );
    const link = new SqlLink(wire.url, null);
    const options = { to: file('again.db'), format: 'sqlite', force: false } as const;
    await exportFile(link, options, { ...listener, note: (text) => void notes.push(text) });
    expect(notes).toHaveLength(2);
    expect(contentsOf(file('again.db')).integrity).toEqual([['ok']]);
    await wire.close();
  });

  test('three times is an error, and leaves no file', async () => {
    const wire = await startWire(urlOf(writer), (body) => (body.includes('dbpage') ? 'lost' : 'answered'));
    const options = { to: file('lost.db'), format: 'sqlite', force: false } as const;
    await expect(exportFile(new SqlLink(wire.url, null), options, listener)).rejects.toThrow(
      /cut off .* 3 of 3 times/,
    );
    expect(readdirSync(directory).filter((name) => name.includes('lost'))).toEqual([]);
    await wire.close();
  });
});

test('a token that may read exports, and imports nothing', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const jwtPublicKey = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const closed = await world.gateway(
    'g3',
    {},
    { auth: { jwtPublicKey, expiry: 'optional', clockToleranceMs: 0 } },
  );
  await ready(urlOf(closed));
  const token = await new SignJWT({ scope: 'read', sub: 'reader' })
    .setProtectedHeader({ alg: 'EdDSA' })
    .sign(privateKey);
  const to = (name: string) => ({ to: file(name), format: 'sqlite', force: false }) as const;
  await exportFile(new SqlLink(urlOf(closed), token), to('read.db'), listener);
  expect(contentsOf(file('read.db')).integrity).toEqual([['ok']]);
  await expect(exportFile(new SqlLink(urlOf(closed), null), to('none.db'), listener)).rejects.toThrow(
    /requires a token|no token|AUTH|token/i,
  );
  const intoExisting = importFrom(file('a.db'), urlOf(closed), { intoExisting: true, token });
  await expect(intoExisting).rejects.toThrow(/scope write.*nothing has been written/s);
});

test('G47: a transaction says up to which commit it sees', async () => {
  const client = world.client(beside, 'http');
  const position = async (): Promise<string> => {
    const transaction = await client.transaction('read');
    try {
      await transaction.execute('SELECT count(*) FROM sqlite_schema');
      const first = await transaction.execute('PRAGMA sextant_position');
      await world.client(writer).execute('INSERT INTO filler VALUES (1)');
      const again = await transaction.execute('PRAGMA sextant_position');
      expect(String(again.rows[0]?.[0]).split(' ')[0]).toBe(String(first.rows[0]?.[0]).split(' ')[0]);
      return String(first.rows[0]?.[0]);
    } finally {
      transaction.close();
    }
  };
  await client.execute("INSERT INTO filler VALUES ('known')");
  const beforeMs = Date.now() - 10_000;
  const [lsn, time] = (await position()).split(' ');
  // What is written here is seen here by what is asked next.
  await client.execute("INSERT INTO filler VALUES ('more')");
  const [later] = (await position()).split(' ');
  expect(Number(later)).toBeGreaterThan(Number(lsn));
  expect(Date.parse(time ?? '')).toBeGreaterThan(beforeMs);
});
