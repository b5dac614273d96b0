import { expect, test } from 'vitest';
import { encodeAck } from '../../../../regions/bus/core/messages.ts';
import { Shipping } from '../../../../regions/replication/shipping.ts';
import { epoch, lsn, regionId } from '../../../../storage/redo/ids.ts';

const us = regionId('us-east-1');
const eu = regionId('eu-west-1');
const ap = regionId('ap-northeast-1');
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Shipping over nodes that never answer; `open` are the connections that lanes hold. */
function shippingTo(secondaries: readonly (typeof us)[]) {
  const open: string[] = [];
  const opened: string[] = [];
  const shipping = new Shipping(
    {
      cluster: 'test',
      from: us,
      secondaries,
      region: { nodes: [], fetch: () => new Promise(() => undefined) } as never,
      connect: (purpose) => {
        open.push(purpose);
        opened.push(purpose);
        return {
          maxPayloadBytes: 1_048_576,
          publish: () => 'sent',
          close: async () => {
            open.splice(open.indexOf(purpose), 1);
          },
        };
      },
      onStalled: () => undefined,
      remembered: {},
      log: quiet as never,
    },
    { head: epoch(1), forks: [], vdl: lsn(0) },
  );
  return { shipping, open, opened };
}

test('a lane begins for a region that comes and ends for one that goes, and the others stay as they are', async () => {
  const { shipping, open, opened } = shippingTo([eu]);
  shipping.shipTo([eu, ap]);
  expect(open).toEqual(['ship-eu-west-1', 'ship-ap-northeast-1']);
  shipping.shipTo([ap]);
  expect(open).toEqual(['ship-ap-northeast-1']);
  expect(shipping.lag().map(({ region }) => region)).toEqual([ap]);
  shipping.shipTo([ap]);
  expect(opened).toEqual(['ship-eu-west-1', 'ship-ap-northeast-1']);
  await shipping.close();
  expect(open).toEqual([]);
});

test('a lane reads no more than fits a message of its NATS server', async () => {
  const asked: number[] = [];
  for (const maxPayloadBytes of [0, 1_048_576, 100_000]) {
    const shipping = new Shipping(
      {
        cluster: 'test',
        from: us,
        secondaries: [eu],
        region: {
          nodes: ['n1'],
          request: (_node: string, { bytesMax }: { bytesMax: number }) => {
            asked.push(bytesMax);
            return new Promise(() => undefined);
          },
        } as never,
        connect: () => ({ maxPayloadBytes, publish: () => 'sent', close: async () => undefined }),
        onStalled: () => undefined,
        remembered: {},
        log: quiet as never,
      },
      { head: epoch(1), forks: [], vdl: lsn(100) },
    );
    const at = { received: lsn(0), vcl: lsn(0), vdl: lsn(0) };
    shipping.acked(encodeAck({ region: eu, head: epoch(1), ...at, gap: true, ackSentAtUs: 0 }));
    await shipping.close();
  }
  expect(asked).toEqual([65_536, 65_536, 100_000 - 65_536]);
});
