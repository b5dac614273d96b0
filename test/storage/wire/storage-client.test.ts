import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { nodeId, regionId } from '../../../storage/redo/ids.ts';
import type { Link, LinkOptions } from '../../../storage/wire/link.ts';
import { StorageClient } from '../../../storage/wire/storage-client.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('does not say of a node that is slow to introduce itself that it is another node, and asks it again', async () => {
  const sent: Uint8Array[] = [];
  const refusals: string[] = [];
  const dialled: LinkOptions[] = [];
  const dial = (options: LinkOptions): Link => {
    dialled.push(options);
    return {
      isOpen: true,
      bufferedBytes: 0,
      send: (message) => sent.push(message) > 0,
      close: () => undefined,
    };
  };
  const client = new StorageClient({
    cluster: 'c',
    secret: 's',
    region: regionId('us-east-1'),
    target: { node: nodeId('n1'), az: 'az1', address: '127.0.0.1:1' },
    place: { dial },
    onRefused: (message) => refusals.push(message),
  });
  dialled[0]?.onOpen();
  await vi.advanceTimersByTimeAsync(2_100);
  expect(client.isUp).toBe(false);
  expect(client.refusal).toBe('n1 at 127.0.0.1:1: asked which node it is: no usable answer within 2000 ms');
  expect(refusals).toEqual([]);
  const before = sent.length;
  await vi.advanceTimersByTimeAsync(2_100);
  expect(sent.length).toBeGreaterThan(before);
  client.close();
});
