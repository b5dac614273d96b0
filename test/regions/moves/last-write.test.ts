import { expect, test } from 'vitest';
import { rtoFromLastWriteMs } from '../../../regions/moves/core/rto.ts';
import { lastCommitUs } from '../../../regions/moves/last-write.ts';
import { encodeFrame } from '../../../storage/redo/frame.ts';
import { epoch, lsn, nodeId, pageNo, pgId } from '../../../storage/redo/ids.ts';
import { redoLimits } from '../../../storage/redo/limits.ts';
import { encodeMtr } from '../../../storage/redo/record.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';

const base = lsn(1_000);
const change = {
  kind: 'pageDelta',
  page: pageNo(1),
  runs: [{ offset: 3, bytes: new Uint8Array([9]) }],
} as const;
const parts = [7_000_000, 8_000_000, 9_000_000].map(
  (commitTimeUs) =>
    encodeMtr([change], [{ kind: 'commit', commitTimeUs, trace: null }], redoLimits.pgBytesMin).runs[0]
      ?.bytes ?? new Uint8Array(0),
);
const endOf = (count: number) =>
  lsn(base + parts.slice(0, count).reduce((sum, { length }) => sum + length, 0));
const frames = encodeFrame({ epoch: epoch(1), pg: pgId(0), base, prevPg: base }, parts);

/** Two nodes, of which the first answers nothing. */
function region(asked: StorageRequest[]) {
  const nodes = [nodeId('n1'), nodeId('n2')];
  const reply: StorageReply = {
    kind: 'fetched',
    head: epoch(2),
    vdl: endOf(3),
    next: endOf(3),
    forks: [],
    frames,
  };
  return {
    nodes,
    request: async (node: string, request: StorageRequest) => {
      asked.push(request);
      return node === 'n1' ? ({ kind: 'unanswered', reason: 'dead' } as const) : reply;
    },
  };
}

test('the last write kept is the commit that ends where the new reign forked, whichever node tells it', async () => {
  const asked: StorageRequest[] = [];
  expect(await lastCommitUs(region(asked), epoch(2), endOf(2))).toBe(8_000_000);
  expect(asked.at(-1)).toMatchObject({ kind: 'fetch', from: endOf(2) - 1, head: 2 });
});

test('there is no last write in a volume that was never written', async () => {
  const asked: StorageRequest[] = [];
  expect(await lastCommitUs(region(asked), epoch(2), lsn(0))).toBeNull();
  expect(asked).toEqual([]);
});

test('the time without writes counts on one clock, and is never below nothing', () => {
  expect(rtoFromLastWriteMs(1_000_000, 0, 13_500_000)).toBe(12_500);
  // The lost region's clock was two seconds ahead: its write was made two seconds earlier than it says.
  expect(rtoFromLastWriteMs(3_000_000, 2_000_000, 13_500_000)).toBe(12_500);
  expect(rtoFromLastWriteMs(3_000_000, -2_000_000, 4_000_000)).toBe(0);
});
