import { expect, it } from 'vitest';
import { type PgId, pageNo } from '../../../storage/redo/ids.ts';
import { redoLimits } from '../../../storage/redo/limits.ts';
import { MtrStream, type StoredMtr } from '../../../storage/redo/mtr-stream.ts';
import { nodeIds, smallMtr, TestWriter } from '../region-harness.ts';
import { framesOnDisk, open, untilComplete } from './six-nodes.ts';

/** A mini-transaction of so many whole pages that is read from elsewhere. */
function storedMtr(pages: number) {
  const stretches: { readonly pg: PgId; readonly length: number; readonly bytes: Uint8Array }[] = [];
  const stream = new MtrStream({
    pgBytes: redoLimits.pgBytesMin,
    stretchBytesMax: redoLimits.framePayloadBytesMax,
    shrink: null,
    onStretch: (pg, bytes) => stretches.push({ pg, length: bytes.length, bytes: bytes.slice() }),
  });
  for (let at = 1; at <= pages; at++)
    stream.add({ kind: 'pageImage', page: pageNo(at), bytes: new Uint8Array(4096).fill(at % 256) });
  stream.finish([{ kind: 'commit', commitTimeUs: 1, trace: null }]);
  const test = {
    reads: [] as { readonly from: number; readonly to: number }[],
    fail: Number.POSITIVE_INFINITY,
  };
  const mtr: StoredMtr = {
    stretches,
    byteLength: stream.byteLength,
    commits: 1,
    read: async (from, to) => {
      test.reads.push({ from, to });
      if (test.reads.length >= test.fail) throw new Error('the disk has failed');
      return stretches.slice(from, to).map(({ bytes }) => bytes);
    },
  };
  return Object.assign(test, { mtr });
}

it('redo that is elsewhere gives the frames it would have in memory, and ends when it cannot be read', async () => {
  const { region, client } = await open();
  const writer = await TestWriter.open(client, 1);
  const [first, second] = [storedMtr(900), storedMtr(700)];
  writer.driver.commit(first.mtr);
  writer.driver.commit(smallMtr(1, 7));
  const end = writer.driver.commit(second.mtr);
  await writer.untilDurable(end);
  await untilComplete(client, nodeIds, end);
  // Read in pieces, each once, in order.
  expect(first.reads.map(({ from }) => from)).toEqual(
    first.reads.map((_, at) => first.reads[at - 1]?.to ?? 0),
  );
  expect(first.reads.length).toBeGreaterThan(1);
  expect(first.reads.at(-1)?.to).toBe(first.mtr.stretches.length);
  const logs = region.nodes.map(framesOnDisk);
  for (const log of logs) expect(log).toEqual(logs[0]);

  const broken = storedMtr(900);
  broken.fail = 2;
  writer.driver.commit(broken.mtr);
  await writer.until(() => writer.lost !== null);
  expect(writer.lost).toContain('the disk has failed');
  expect([writer.driver.isOver, writer.driver.vdl]).toEqual([true, end]);
  const next = await TestWriter.open(client, 2);
  expect(next.driver.vdl).toBe(end);
  await next.untilDurable(next.driver.commit(smallMtr(1, 8)));
  next.driver.close();
});
