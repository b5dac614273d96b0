/** What a reading PostgreSQL asks storage for, and when. */
import { afterEach, expect, test } from 'vitest';
import type { Engine, EngineOptions } from '../../../../../gateway/engine/engine.ts';
import type { Lsn, PageNo } from '../../../../../storage/redo/ids.ts';
import { closeEngines, MemoryVolume, openReader, openWriter } from '../../engine-volume.ts';
import { Client, postgres } from './postgres-engine.ts';

afterEach(closeEngines);
const rows = 3_000;

/** A table of some hundred blocks, and a reader of it that has read nothing; `requests` are what it asks storage for. */
async function coldReader(options: Partial<EngineOptions> = {}) {
  const volume = new MemoryVolume();
  const { engine } = await openWriter(postgres, volume);
  const writer = new Client(engine.openSession());
  await writer.sql(
    `CREATE TABLE wide AS SELECT i, 0 AS n, repeat(md5(i::text), 30) AS pad FROM generate_series(1, ${rows}) i; ALTER TABLE wide ADD PRIMARY KEY (i); CHECKPOINT`,
  );
  const requests: (readonly PageNo[])[] = [];
  const readPages = async (pages: readonly PageNo[], readPoint: Lsn) => {
    requests.push(pages);
    await new Promise((resolve) => setTimeout(resolve, 1));
    return pages.map((page) => volume.page(page, readPoint));
  };
  const { engine: reader } = await openReader(volume, { ...postgres, readPages, ...options });
  return { volume, writer, reader, client: new Client(reader.openSession()), requests };
}

/** Hands the reader the redo that it has not got. */
function follower(volume: MemoryVolume, reader: Engine): () => void {
  let at = volume.frames.length;
  return () => {
    reader.apply(Buffer.concat(volume.frames.slice(at)), volume.durable);
    at = volume.frames.length;
  };
}

const answer = (value: number) => `T D[${value}] C[SELECT 1] Z[I]`;
const drawn = (round: number): number => 1 + ((round * 7_919) % rows);

test('a cold reader that reads at random has all of a table after few misses', async () => {
  const { client, requests } = await coldReader({ limits: { refreshMs: 600_000 } });
  expect(await client.sql('SELECT 1')).toBe(answer(1));
  requests.length = 0;
  for (let round = 1; round <= 600; round++)
    expect(await client.sql(`SELECT i FROM wide WHERE i = ${drawn(round)}`)).toBe(answer(drawn(round)));
  const [waited, ahead] = [
    requests.filter(({ length }) => length <= 16),
    requests.filter(({ length }) => length > 16),
  ];
  expect(ahead.length).toBeGreaterThan(5);
  // It has more than 400 blocks.
  expect(waited.length + ahead.length).toBeLessThan(150);
  requests.length = 0;
  for (let round = 1; round <= 300; round++)
    await client.sql(`SELECT i FROM wide WHERE i = ${drawn(round * 3)}`);
  expect(requests.flat().length).toBe(0);
});

test('pages ahead are right while redo goes on, and need not come again with each refresh', async () => {
  const { volume, writer, reader, client, requests } = await coldReader({ limits: { refreshMs: 30 } });
  const follow = follower(volume, reader);
  const wrote = new Map<number, number>();
  for (let round = 1; round <= 250; round++) {
    const id = drawn(round);
    if (round % 5 === 0) {
      const at = drawn(round * 31);
      wrote.set(at, (wrote.get(at) ?? 0) + 1);
      await writer.sql(`UPDATE wide SET n = n + 1 WHERE i = ${at}`);
      follow();
    }
    const atLeast = volume.durable;
    expect(await client.sql(`SELECT n FROM wide WHERE i = ${id}`, { atLeast })).toBe(
      answer(wrote.get(id) ?? 0),
    );
  }
  const sum = [...wrote.values()].reduce((all, n) => all + n, 0);
  expect(await client.sql('SELECT sum(n) FROM wide', { atLeast: volume.durable })).toBe(answer(sum));
  // What is asked for ahead leaves and comes with statements.
  const settle = async (): Promise<number> => {
    requests.length = 0;
    await client.sql('SELECT 1');
    await new Promise((resolve) => setTimeout(resolve, 10));
    return requests.length;
  };
  await expect.poll(settle, { timeout: 10_000 }).toBe(0);
  await writer.sql('UPDATE wide SET n = n + 1 WHERE i = 1');
  follow();
  const again = { atLeast: volume.durable };
  expect(await client.sql('SELECT sum(n) FROM wide', again)).toBe(answer(sum + 1));
  expect(requests.flat().length).toBeLessThan(40);
}, 60_000);
