import { afterEach, expect, it } from 'vitest';
import type { Engine } from '../../../../gateway/engine/engine.ts';
import { EngineReserve } from '../../../../gateway/engine/engine-reserve.ts';
import { startThreadAhead } from '../../../../gateway/engine/engine-thread.ts';
import { lsn } from '../../../../storage/redo/ids.ts';
import { eventually } from '../../../storage/region-harness.ts';
import { rows, statement } from '../engine-volume.ts';

let reserve: EngineReserve | null = null;
const engines: Engine[] = [];
afterEach(async () => {
  await Promise.all([reserve?.close(), ...engines.splice(0).map((engine) => engine.close())]);
});

async function engineOf(from: EngineReserve, asked: number[]): Promise<Engine> {
  const engine = await from.start({
    pageCacheBytes: 1024 * 1024,
    pageReadMs: 300,
    // Page 1 of a volume that is there and cannot be read.
    readPages: (pages) => {
      asked.push(...pages);
      return new Promise(() => undefined);
    },
    onCommit: () => undefined,
    onFatal: () => undefined,
  });
  engines.push(engine);
  return engine;
}

it('threads are ready before anybody needs them, are replaced, and end when they are not kept any more', async () => {
  const kept = new EngineReserve({ refillMs: 1 });
  reserve = kept;
  kept.keep(2);
  await eventually('two are ready', async () => kept.size === 2);
  const engine = await engineOf(kept, []);
  expect(kept.size).toBe(1);
  await engine.open({ kind: 'writer', lsn: lsn(0), pgBytes: 1024 * 1024 });
  expect(await rows(engine.openSession(), 'SELECT 7')).toEqual([[7n]]);
  await eventually('another one has taken its place', async () => kept.size === 2);
  kept.keep(0);
  expect(kept.size).toBe(0);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(kept.size).toBe(0);
  // Without one that is ready, a thread is started.
  await (await engineOf(kept, [])).open({ kind: 'reader', readPoint: lsn(0) });
});

it('a thread that was ready takes the bounds of the engine that is opened on it', async () => {
  const kept = new EngineReserve({ refillMs: 1 });
  reserve = kept;
  kept.keep(1);
  await eventually('it is ready', async () => kept.size === 1);
  const asked: number[] = [];
  const engine = await engineOf(kept, asked);
  await engine.open({ kind: 'reader', readPoint: lsn(100) });
  const { outcome } = await engine.openSession().execute(statement('SELECT * FROM t'), null);
  expect(outcome).toMatchObject({
    ok: false,
    error: { message: expect.stringContaining('pageReadMs = 300') },
  });
  expect(asked[0]).toBe(1);
});

it('a thread that was begun before the reserve is the first one taken, and none of those that are kept', async () => {
  const ahead = startThreadAhead('sqlite');
  const kept = new EngineReserve({ ahead, refillMs: 1 });
  reserve = kept;
  kept.keep(0);
  const engine = await engineOf(kept, []);
  await engine.open({ kind: 'writer', lsn: lsn(0), pgBytes: 1024 * 1024 });
  expect(await rows(engine.openSession(), 'SELECT 7')).toEqual([[7n]]);
  const { shared } = await ahead.thread;
  expect(shared.life).toBeGreaterThan(0);
  expect(shared.thread > 0).toBe(process.platform === 'linux');
  // The next one has a thread of its own.
  await (await engineOf(kept, [])).open({ kind: 'reader', readPoint: lsn(0) });
});

it("a thread ahead that has ended, or has another engine's kind or other bounds, is nobody's", async () => {
  const ended = startThreadAhead('sqlite');
  const kept = new EngineReserve({ ahead: ended, refillMs: 1 });
  reserve = kept;
  await (await ended.thread).worker.terminate();
  await (await engineOf(kept, [])).open({ kind: 'reader', readPoint: lsn(0) });
  for (const differs of [{ kind: 'postgres' }, { limits: { statementMs: 7 } }] as const) {
    const other = startThreadAhead('sqlite');
    const { worker } = await other.thread;
    const gone = new Promise((resolve) => worker.once('exit', resolve));
    await new EngineReserve({ ...differs, ahead: other, refillMs: 1 }).close();
    await gone;
  }
});
