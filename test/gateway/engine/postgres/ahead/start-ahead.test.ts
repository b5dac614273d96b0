import { afterEach, describe, expect, test } from 'vitest';
import type { EngineCommitEvent } from '../../../../../gateway/engine/commit-events.ts';
import { Engine } from '../../../../../gateway/engine/engine.ts';
import { StartAhead } from '../../../../../gateway/engine/postgres/ahead/start-ahead.ts';
import { defaultGeometry } from '../../../../../storage/core.ts';
import type { Lsn, PageNo } from '../../../../../storage/redo/ids.ts';
import { closeEngines, MemoryVolume, openWriter } from '../../engine-volume.ts';
import { Client, postgres } from '../backend/postgres-engine.ts';
import { PagesInMemory } from '../backend/postgres-pages.ts';

afterEach(closeEngines);

/** What is at hand, and what was asked for. */
class Known {
  readonly pages = new Map<PageNo, Uint8Array | null>();
  readonly requests: PageNo[][] = [];
  /** Of those, the ones that nobody waited for. */
  readonly later: PageNo[] = [];
  private readonly volume: PagesInMemory;
  answers = true;

  constructor(volume: PagesInMemory) {
    this.volume = volume;
  }

  run(ahead: StartAhead, pagesMax = 100_000): void {
    ahead.run({
      pagesMax,
      peek: (page) => this.pages.get(page),
      fetch: (pages) => {
        this.requests.push([...pages]);
        if (this.answers) for (const page of pages) this.pages.set(page, this.volume.pages.get(page) ?? null);
        return this.answers;
      },
      ask: (pages) => {
        this.later.push(...pages);
        for (const page of pages) this.pages.set(page, this.volume.pages.get(page) ?? null);
      },
    });
  }
}

describe('what is read ahead of a start', () => {
  test('comes in a few requests, each page once; the next start asks for nothing', async () => {
    const known = new Known(await PagesInMemory.create());
    const ahead = new StartAhead();
    known.run(ahead);
    const asked = [...known.requests.flat(), ...known.later];
    expect(known.requests.length).toBeLessThanOrEqual(12);
    expect(asked.length).toBeGreaterThan(500);
    expect(asked.length).toBeLessThan(2_500);
    expect(new Set(asked).size).toBe(asked.length);
    known.requests.length = 0;
    known.later.length = 0;
    known.run(ahead);
    expect([known.requests, known.later]).toEqual([[], []]);
  });

  test('is no more than may be asked for, and nothing further once storage does not answer', async () => {
    const volume = await PagesInMemory.create();
    const few = new Known(volume);
    few.run(new StartAhead(), 50);
    expect(few.requests.flat().length + few.later.length).toBeLessThanOrEqual(51);
    const silent = new Known(volume);
    silent.answers = false;
    silent.run(new StartAhead());
    expect(silent.requests.length).toBe(1);
  });

  test('leaves a damaged volume to who reads it', async () => {
    const volume = await PagesInMemory.create();
    for (const [page, bytes] of volume.pages)
      volume.pages.set(page, new Uint8Array(bytes.length).fill(page % 251));
    const known = new Known(volume);
    known.run(new StartAhead());
    expect(known.requests.length).toBe(1);
  });
});

/** A volume whose engine was ended with 400 updates of as many blocks behind its last checkpoint. */
async function killedDatabase(): Promise<MemoryVolume> {
  const volume = new MemoryVolume();
  const first = await openWriter(postgres, volume, true);
  const setUp = new Client(first.engine.openSession());
  await setUp.sql('CREATE TABLE t (id int PRIMARY KEY, n int, pad text)');
  await setUp.sql("INSERT INTO t SELECT i, 0, repeat('x', 850) FROM generate_series(1, 4000) i");
  await setUp.sql('VACUUM ANALYZE t');
  await setUp.sql('CHECKPOINT');
  await setUp.sql('UPDATE t SET n = 1 WHERE id % 10 = 0');
  await first.engine.close();
  volume.durable = volume.end;
  return volume;
}

type ReadPages = (pages: readonly PageNo[], readPoint: Lsn) => Promise<readonly (Uint8Array | null)[]>;

/** Starts an engine on it, and waits until it has recovered. */
async function recovered(volume: MemoryVolume, readPages: ReadPages): Promise<Engine> {
  const before = volume.commits.length;
  const engine = await Engine.start({
    ...postgres,
    pageCacheBytes: 256 * 1024 * 1024,
    readPages,
    onCommit: (commit: EngineCommitEvent) => {
      volume.add(commit);
      volume.durable = commit.lsn;
      engine.setDurable(commit.lsn);
    },
    onFatal: () => undefined,
  });
  await engine.open({ kind: 'writer', lsn: volume.end, pgBytes: defaultGeometry.pgBytes });
  await expect.poll(() => volume.commits.length, { timeout: 60_000 }).toBeGreaterThan(before);
  return engine;
}

describe('an engine that begins anew after it was killed', { timeout: 150_000 }, () => {
  test('asks for the pages of its recovery together and once, waits for those that are on their way, and has recovered before anybody asks', async () => {
    const volume = await killedDatabase();
    const requests: (readonly PageNo[])[] = [];
    const engine = await recovered(volume, async (pages, readPoint) => {
      requests.push(pages);
      await new Promise((resolve) => setTimeout(resolve, 30));
      return pages.map((page) => volume.page(page, readPoint));
    });
    const asked = requests.flat();
    // 400 rows lie in as many blocks, which is twice as many pages.
    expect(asked.length).toBeGreaterThan(1_500);
    expect(new Set(asked).size).toBe(asked.length);
    expect(requests.length).toBeLessThan(30);
    const client = new Client(engine.openSession());
    expect(await client.sql('SELECT sum(n) FROM t')).toContain('D[400]');
    await engine.close();
  });

  test('recovers as well where storage refuses whatever was asked for ahead', async () => {
    const volume = await killedDatabase();
    let refused = 0;
    const engine = await recovered(volume, async (pages, readPoint) => {
      if (pages.length >= 256) {
        refused += 1;
        throw new Error('this is too much at once');
      }
      return pages.map((page) => volume.page(page, readPoint));
    });
    expect(refused).toBeGreaterThan(1);
    const client = new Client(engine.openSession());
    expect(await client.sql('SELECT sum(n) FROM t')).toContain('D[400]');
    await engine.close();
  });
});
