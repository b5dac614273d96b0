import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { KeptOperation } from '../../../regions/moves/core/operation-log.ts';
import { OperationStore } from '../../../regions/moves/operation-store.ts';

const kept = (id: string): KeptOperation => ({
  operation: {
    id,
    kind: 'failover',
    target: 'eu-west-1',
    from: 'us-east-1',
    state: 'running',
    phases: [{ name: 'waiting-for-lease', startedAtMs: 1, endedAtMs: null }],
  },
  wish: { allowDataLoss: true, sacrifice: ['us-east-1'], maxLossMs: null },
});

describe('operations on disk', () => {
  let dataDir = '';
  const said: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void said.push(line) });
  const file = (): string => join(dataDir, 'operations.json');

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'sextant-operations-'));
    said.length = 0;
  });
  afterEach(() => rm(dataDir, { recursive: true, force: true }));

  test('are there after a restart, as they were kept last', async () => {
    const store = await OperationStore.open(dataDir, log);
    expect(store.kept).toEqual([]);
    for (const id of ['a', 'b', 'c']) store.keep([kept('first'), kept(id)]);
    await vi.waitFor(async () => expect(await readFile(file(), 'utf8')).toContain('"id":"c"'));
    expect((await OperationStore.open(dataDir, log)).kept).toEqual([kept('first'), kept('c')]);
    expect(said).toEqual([]);
  });

  test('that cannot be read cost the history and no more, and say which file it is', async () => {
    await writeFile(file(), '{"v":1,"operations":[{"operation":');
    const store = await OperationStore.open(dataDir, log);
    expect(store.kept).toEqual([]);
    expect(said.join()).toContain(file());
    store.keep([kept('a')]);
    await vi.waitFor(async () => expect((await OperationStore.open(dataDir, log)).kept).toEqual([kept('a')]));
  });

  test('that cannot be written are said, and the next try is another', async () => {
    const store = await OperationStore.open(dataDir, log);
    await rm(dataDir, { recursive: true });
    store.keep([kept('a')]);
    await vi.waitFor(() => expect(said.join()).toContain('the operations cannot be kept'));
  });
});
