import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PageFetcher, type PagesFetched } from '../../../storage/client/page-fetcher.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { epoch, lsn, type NodeId, nodeId, pageNo } from '../../../storage/redo/ids.ts';
import type { Answer } from '../../../storage/wire/storage-client.ts';

const nodes = ['n1', 'n2', 'n3'].map((name) => ({ node: nodeId(name), az: 'az1', address: '127.0.0.1:1' }));
const behind: Answer = { kind: 'refused', code: 'NOT_COMPLETE', reason: 'behind', sealed: epoch(0) };

/** What a read for 200 ms ends with when nodes answer as `answer` says; null: never, but for the timeout of the request. */
async function read(
  answer: (node: NodeId, atMs: number) => Answer | null,
  up = nodes,
): Promise<PagesFetched> {
  const startMs = performance.now();
  const fetcher = new PageFetcher({
    nodes,
    az: null,
    runtime: machine,
    isUp: (node) => up.some((target) => target.node === node),
    ask: (node, _request, timeoutMs, done) => {
      const given = answer(node, performance.now() - startMs);
      if (given !== null) setTimeout(() => done(given), 1);
      // A timer may be a fraction of a millisecond early.
      else
        setTimeout(
          () => done({ kind: 'unanswered', reason: `${node}: too late`, sent: true }),
          timeoutMs - 1,
        );
    },
  });
  const found = fetcher.read(epoch(1), lsn(9), [pageNo(1)], { timeoutMs: 200 });
  await vi.advanceTimersByTimeAsync(1_000);
  return found;
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a page read that fails tells', () => {
  it('that no node is reachable', async () => {
    expect(await read(() => behind, [])).toMatchObject({
      reason: expect.stringMatching(/last: no storage node is reachable$/),
    });
  });

  it('which nodes have not answered', async () => {
    expect(await read(() => null)).toMatchObject({
      reason: expect.stringMatching(/last: no answer from n1, n2$/),
    });
  });

  it('why nodes refused, and not that there was no time left for the last one asked', async () => {
    const outcome = await read((_node, atMs) => (atMs < 150 ? behind : null));
    expect(outcome).toMatchObject({ reason: expect.stringMatching(/last: n\d: behind$/) });
  });
});

describe('a page read', () => {
  it('is served by another node when the first says nothing', async () => {
    const pages: Answer = { kind: 'pages', pages: [new Uint8Array(4)] };
    expect(await read((node) => (node === 'n1' ? null : pages))).toEqual(pages);
  });
});
