import { afterEach, expect, test } from 'vitest';
import type { EngineNews } from '../../../../../gateway/engine/core/engine-protocol.ts';
import type { EngineOptions } from '../../../../../gateway/engine/engine.ts';
import { closeEngines, limited, MemoryVolume, openReader, openWriter } from '../../engine-volume.ts';
import { Client, postgres } from './postgres-engine.ts';

afterEach(closeEngines);

/** What an engine did, as words. */
class Heard {
  readonly news: EngineNews[] = [];

  get options(): Partial<EngineOptions> {
    return { ...postgres, onNews: (news) => this.news.push(news) };
  }

  get words(): readonly string[] {
    return this.news.map((one) => ('why' in one ? `${one.kind} ${one.why}` : one.kind));
  }
}

test('an engine tells of its starts, its checkpoints and what it had to stop', async () => {
  const volume = new MemoryVolume();
  const heard = new Heard();
  const limits = { checkpointCommits: 4, idleTransactionMs: 50, turnWaitMs: 20_000 };
  const { engine } = await openWriter({ ...heard.options, ...limited(limits) }, volume);
  const [one, other] = [new Client(engine.openSession()), new Client(engine.openSession())];
  await one.sql('CREATE TABLE counted (n int)');
  expect(heard.words).toEqual(['started opened']);
  for (const n of [1, 2, 3, 4]) await one.sql(`INSERT INTO counted VALUES (${n})`);
  await one.sql('SELECT 1');
  expect(heard.words).toEqual(['started opened', 'checkpoint']);
  expect(heard.news[1]).toMatchObject({ bytes: expect.any(Number), tookMs: expect.any(Number) });

  one.settings = { statement_timeout: '20' };
  expect(
    await one.sql('SELECT count(*) FROM generate_series(1, 10000) a, generate_series(1, 10000) b'),
  ).toMatch(/^(?:T )?E\[57014\] Z\[I\]$/);
  expect(heard.words.slice(2)).toEqual(['stopped timeout']);
  one.settings = {};

  await one.sql('BEGIN');
  await other.sql('SELECT 1');
  expect(heard.words.slice(3)).toEqual(['idleEnded']);

  const reading = new Heard();
  const reader = await openReader(volume, reading.options);
  const far = new Client(reader.engine.openSession());
  await far.sql('SELECT 1');
  expect(reading.words).toEqual(['started opened']);
});

test('an engine whose pages cannot be read tells that it did not start', async () => {
  const volume = new MemoryVolume();
  const { engine } = await openWriter(postgres, volume);
  await new Client(engine.openSession()).sql('CREATE TABLE there (n int)');
  const heard = new Heard();
  const readPages = () => Promise.reject(new Error('no node answers'));
  const reader = await openReader(volume, { ...heard.options, readPages });
  const far = new Client(reader.engine.openSession());
  expect(await far.sql('SELECT 1')).toBe('(SEXTANT_STORAGE_UNAVAILABLE)');
  expect(heard.words).toEqual(['notStarted']);
  expect(heard.news).toMatchObject([{ reason: expect.stringContaining('no node answers') }]);
});

test('a writer that starts before anybody asks tells of that, too', async () => {
  const volume = new MemoryVolume();
  const first = await openWriter(postgres, volume);
  await new Client(first.engine.openSession()).sql('CREATE TABLE there (n int)');
  const heard = new Heard();
  await openWriter(heard.options, volume);
  await expect.poll(() => heard.words, { timeout: 20_000 }).toEqual(['started opened']);
});
