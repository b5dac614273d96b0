/** What the engine relies on of exactly this version of PGlite: when one of these fails, the package must not be changed. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { beforeAll, describe, expect, test } from 'vitest';
import { Backend, BackendBroken } from '../../../../../gateway/engine/postgres/backend/backend.ts';
import { PageUnavailable } from '../../../../../gateway/engine/postgres/core/file-error.ts';
import { queryMessage, syncMessage } from '../../../../../gateway/postgres/protocol/core/client-messages.ts';
import { message } from '../../../../../gateway/postgres/protocol/core/message-bytes.ts';
import { postgresVersion } from '../../../../../gateway/sql/engine-kind.ts';
import { sqlError } from '../../../../../gateway/sql/errors.ts';
import { PagesInMemory } from './postgres-pages.ts';
import { bind, execute, flush, parse, shown } from './postgres-wire.ts';

let limit = Number.POSITIVE_INFINITY;
let working: (() => void) | null = null;
let backend: Backend;
let volume: PagesInMemory;
const run = (...messages: readonly Uint8Array[]) => shown(backend.run(Buffer.concat(messages)).messages);
const sql = (text: string) => run(queryMessage(text));

beforeAll(async () => {
  backend = await Backend.load({
    working: () => working?.(),
    answering: (bytes) => bytes <= limit,
    stopped: () => false,
  });
  volume = await PagesInMemory.create();
  backend.start(volume.open(), { shared_buffers: '16MB' });
  volume.publish();
  sql(
    'CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL); INSERT INTO t SELECT i, 0 FROM generate_series(1, 1000) i',
  );
  volume.publish();
});

describe('PGlite 0.5.17', () => {
  test('is the version that is pinned', () => {
    const path = new URL('../package.json', import.meta.resolve('@electric-sql/pglite'));
    expect(JSON.parse(readFileSync(path, 'utf8')).version).toBe('0.5.17');
    expect(sql('SHOW server_version')).toContain(`D[${postgresVersion}]`);
  });

  test('stops what only computes when another thread raises its flags', async () => {
    const raise = `const { memory, addresses } = require('node:worker_threads').workerData;
      setTimeout(() => { for (const at of addresses) Atomics.store(new Uint8Array(memory), at, 1); }, 200);`;
    const worker = new Worker(raise, { eval: true, workerData: backend.interruptFlags });
    await once(worker, 'online');
    expect(sql('SELECT count(*) FROM generate_series(1, 1000000000)')).toBe('T E[57014] Z[I]');
    expect(sql('SELECT 1')).toBe('T D[1] C[SELECT 1] Z[I]');
    await worker.terminate();
  });

  test('finds random numbers, text and libraries in memory that threads share, also after it has grown', () => {
    expect(sql("SELECT length(repeat('x', 80000000))")).toContain('D[80000000]');
    expect(sql('SELECT length(gen_random_uuid()::text)')).toContain('D[36]');
    expect(sql("SELECT to_tsvector('english', 'the running dogs')")).toContain("D['dog':3 'run':2]");
  });

  test('writes nothing for a read, and one page for a commit', () => {
    sql('SELECT sum(n) FROM t');
    volume.publish();
    const before = backend.nextTransaction;
    expect(sql('SELECT n FROM t WHERE id = 7')).toBe('T D[0] C[SELECT 1] Z[I]');
    expect(backend.nextTransaction).toBe(before);
    expect(volume.publish()).toBe(0);
    expect(sql('UPDATE t SET n = 1 WHERE id = 7')).toBe('C[UPDATE 1] Z[I]');
    expect(backend.nextTransaction).toBe(before + 1n);
    expect(volume.publish()).toBe(1);
  });

  test('writes nothing before a transaction commits, and nothing when it rolls back', () => {
    expect(sql('BEGIN')).toBe('C[BEGIN] Z[T]');
    expect(sql('UPDATE t SET n = 2 WHERE id = 8')).toBe('C[UPDATE 1] Z[T]');
    expect(sql('ROLLBACK')).toBe('C[ROLLBACK] Z[I]');
    expect(volume.publish()).toBe(0);
  });

  test('skips a batch from its error to its Sync', () => {
    expect(
      run(
        parse('', 'SELECT 1/0'),
        bind(''),
        execute(),
        parse('', 'SELECT 2'),
        bind(''),
        execute(),
        syncMessage,
      ),
    ).toBe('1 E[22012] Z[I]');
    expect(run(parse('', 'SELECT 1/0'), bind(''), execute(), flush)).toBe('1 E[22012]');
    expect(run(parse('', 'SELECT 2'), bind(''), execute(), flush)).toBe('');
    expect(run(syncMessage)).toBe('Z[I]');
    expect(
      run(parse('', 'nonsense'), syncMessage, parse('', 'SELECT 7'), bind(''), execute(), syncMessage),
    ).toBe('E[42601] Z[I] 1 2 D[7] C[SELECT 1] Z[I]');
  });

  test('takes all that a COPY brings in one call', () => {
    const rows = Buffer.from(Array.from({ length: 500 }, (_, at) => `${5000 + at}\t1\n`).join(''));
    expect(run(queryMessage('COPY t FROM STDIN'), message('d', { bytes: rows }), message('c'))).toBe(
      'G C[COPY 500] Z[I]',
    );
    expect(run(queryMessage('COPY nowhere FROM STDIN'), message('d', { bytes: rows }), message('c'))).toBe(
      'E[42P01] Z[I]',
    );
    volume.publish();
  });

  test('stops a statement when a flag is set within a file operation, or while it answers', () => {
    working = () => backend.interrupt();
    expect(
      sql('CREATE TABLE wide AS SELECT i, repeat(md5(i::text), 60) FROM generate_series(1, 20000) i'),
    ).toBe('E[57014] Z[I]');
    expect(sql('SELECT i FROM generate_series(1, 3000000) i')).toBe('T E[57014] Z[I]');
    working = null;
    limit = 1_000_000;
    expect(sql("SELECT i, repeat('x', 1000) FROM generate_series(1, 1000000) i")).toBe('E[54000] Z[I]');
    limit = Number.POSITIVE_INFINITY;
    expect(sql('SELECT 1')).toBe('T D[1] C[SELECT 1] Z[I]');
    volume.publish();
  });

  test('lets an exception in a write through: nothing is answered, and it starts again from the pages before', () => {
    const gone = new PageUnavailable(sqlError('SEXTANT_STORAGE_UNAVAILABLE', 'Planted.'));
    volume.onChange = () => {
      throw gone;
    };
    expect(() => sql('UPDATE t SET n = 99')).toThrow(gone);
    volume.onChange = null;
    expect(backend.isRunning).toBe(false);
    expect(() => sql('SELECT 1')).toThrow(BackendBroken);
    volume.drop();
    backend.start(volume.open(), { shared_buffers: '16MB' });
    expect(sql('SELECT count(*) FROM t WHERE n = 99')).toBe('T D[0] C[SELECT 1] Z[I]');
    volume.publish();
  });

  test('comes back with its libraries after each restart, and forgets an open transaction', () => {
    for (let round = 1; round <= 3; round++) {
      sql(`UPDATE t SET n = ${round} WHERE id = 1`);
      volume.publish();
      sql('BEGIN; UPDATE t SET n = 77');
      volume.publish();
      backend.start(volume.open(), { shared_buffers: '16MB' });
      volume.publish();
      expect(sql('SELECT max(n) FROM t WHERE id < 7')).toBe(`T D[${round}] C[SELECT 1] Z[I]`);
      expect(sql('DO $$ BEGIN PERFORM 1; END $$')).toBe('C[DO] Z[I]');
      expect(sql("SELECT to_tsvector('english', 'running dogs')")).toContain("'run':1");
    }
  });

  test('ends with an exception when it meets what it was not built with, and is started again', () => {
    expect(() => sql("SELECT convert_to('é', 'LATIN1')")).toThrow(BackendBroken);
    volume.drop();
    backend.start(volume.open(), {});
    expect(sql('SELECT 1')).toBe('T D[1] C[SELECT 1] Z[I]');
    volume.publish();
  });
});
