/** What a statement makes SQLite's memory grow to goes back to the machine, and nobody's stream notices. */
import { afterEach, expect, it, vi } from 'vitest';
import type { Engine } from '../../../../gateway/engine/engine.ts';
import {
  closeEngines,
  code,
  limited,
  MemoryVolume,
  openReader,
  openWriter,
  rows,
  run,
} from '../engine-volume.ts';

afterEach(closeEngines);

const mebibyte = 1024 * 1024;
const kept = limited({ heapKeptBytes: 32 * mebibyte });
const much = "SELECT length(printf('%.*c', 60000000, 'x'))";
const holds = (engine: Engine) => engine.heapBytes > 32 * mebibyte;
const givesBack = (engine: Engine) =>
  vi.waitUntil(() => engine.heapBytes > 0 && !holds(engine), { timeout: 20_000 });

it.each(['reader', 'writer'] as const)('a %s gives back what a large statement took', async (kind) => {
  const writer = await openWriter(kept);
  await run(writer.engine.openSession(), 'CREATE TABLE t (a)');
  const { engine } = kind === 'writer' ? writer : await openReader(writer.volume, kept);
  const session = engine.openSession();
  await session.sequence('PRAGMA foreign_keys = OFF; PRAGMA case_sensitive_like = ON', null);
  const { state } = session;
  for (let time = 0; time < 3; time++) {
    expect(await rows(session, much)).toEqual([[60_000_000n]]);
    await givesBack(engine);
  }
  expect(session.state).toEqual(state);
  expect(
    await rows(
      session,
      "SELECT foreign_keys, 'A' LIKE 'a', (SELECT count(*) FROM t) FROM pragma_foreign_keys",
    ),
  ).toEqual([[0n, 0n, 0n]]);
});

it('statements that come while it is given back are answered in their order', async () => {
  const { engine } = await openWriter(kept);
  await run(engine.openSession(), 'CREATE TABLE t (a)');
  const done: number[] = [];
  const all = Array.from({ length: 40 }, async (_, index) => {
    // Each in a turn of its own, so that they do not travel in one message.
    for (let turn = 0; turn < index; turn++) await new Promise((resolve) => setImmediate(resolve));
    await run(engine.openSession(), index % 10 === 0 ? much : `INSERT INTO t VALUES (${index})`);
    done.push(index);
  });
  await Promise.all(all);
  expect(done).toEqual(Array.from({ length: 40 }, (_, index) => index));
  expect(await rows(engine.openSession(), 'SELECT count(*) FROM t')).toEqual([[36n]]);
});

it('what a stream has open outlives a large statement of its own and of others, and the memory goes back with it', async () => {
  const { engine } = await openWriter(kept);
  const [session, other] = [engine.openSession(), engine.openSession()];
  await session.sequence(
    'CREATE TABLE t (a); CREATE TEMP TABLE mine (a); BEGIN; INSERT INTO t VALUES (1)',
    null,
  );
  await run(session, much);
  await run(other, much);
  await vi.waitUntil(() => holds(engine), { timeout: 20_000 });
  await run(session, 'INSERT INTO mine SELECT a FROM t');
  await run(session, 'COMMIT');
  expect(await rows(session, 'SELECT a FROM mine')).toEqual([[1n]]);
  expect(await code(other, 'SELECT a FROM mine')).toBe('SQLITE_ERROR');
  expect(holds(engine)).toBe(true);
  await run(session, 'DROP TABLE mine');
  await givesBack(engine);
  expect(await rows(session, 'SELECT a FROM t')).toEqual([[1n]]);
});

it('a read transaction of a reader keeps what it sees, and its memory, until it ends', async () => {
  const volume = new MemoryVolume();
  const writer = await openWriter(kept, volume);
  const writes = writer.engine.openSession();
  await writes.sequence('CREATE TABLE t (a); INSERT INTO t VALUES (1)', null);
  const { engine } = await openReader(volume, kept);
  const reads = engine.openSession();
  await run(reads, 'BEGIN TRANSACTION READONLY');
  expect(await rows(reads, `SELECT count(*), (${much}) FROM t`)).toEqual([[1n, 60_000_000n]]);
  await vi.waitUntil(() => holds(engine), { timeout: 20_000 });
  expect(await rows(reads, 'SELECT a FROM t')).toEqual([[1n]]);
  await run(reads, 'COMMIT');
  await givesBack(engine);
});
