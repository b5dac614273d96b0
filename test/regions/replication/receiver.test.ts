import { describe, expect, test } from 'vitest';
import type { Shipped } from '../../../regions/bus/core/messages.ts';
import { Receiver, type ReceiverEvent } from '../../../regions/replication/core/receiver.ts';
import { heartbeatDueMs, shippingLimits } from '../../../regions/replication/core/shipping-limits.ts';
import { reportLimits } from '../../../regions/status/core/report-limits.ts';
import { type Epoch, epoch, lsn, mainBranch, regionId } from '../../../storage/redo/ids.ts';

const primary = regionId('us-east-1');
const pathTo = (head: number) => [
  { epoch: epoch(head), branch: mainBranch, parent: epoch(0), forkLsn: lsn(0) },
];
const shipped = (head: number, start: number, next: number, from = primary): ReceiverEvent => {
  const message: Shipped = {
    from,
    head: epoch(head),
    forks: pathTo(head),
    start: lsn(start),
    next: lsn(next),
    vdl: lsn(next),
    sentAtUs: 0,
    echo: null,
    frames: new Uint8Array(next - start),
  };
  return { kind: 'shipped', message, transitMs: 0 };
};
const joined = (head: number, vdl: number): ReceiverEvent => ({
  kind: 'joined',
  outcome: { head: epoch(head), forks: pathTo(head), vdl: lsn(vdl), tree: pathTo(head) },
});
const durable = (vdl: number): ReceiverEvent => ({ kind: 'durable', vcl: lsn(vdl), vdl: lsn(vdl) });

/** A receiver that follows `head` from `vdl` on. */
function following(head: number, vdl: number): Receiver {
  const receiver = new Receiver();
  receiver.step(shipped(head, 0, 0), 0);
  receiver.step(joined(head, vdl), 0);
  return receiver;
}
const join = (head: Epoch | number) => ({ kind: 'join', head, forks: pathTo(Number(head)) });

describe('receiver', () => {
  test('joins the path of whoever ships, and asks for what comes next', () => {
    const receiver = new Receiver();
    expect(receiver.step(shipped(3, 0, 100), 0)).toEqual([join(3)]);
    expect(receiver.step(shipped(3, 100, 200), 1)).toEqual([]);
    expect(receiver.step(joined(3, 70), 2)).toEqual([{ kind: 'ack', to: primary, gap: true }]);
    expect(receiver.position).toEqual({ head: 3, received: 70, vcl: 70, vdl: 70 });
    expect(receiver.primaryVdl).toBe(200);
  });

  test('takes frames in order and says how far it is when they are durable', () => {
    const receiver = following(3, 70);
    expect(receiver.step(shipped(3, 70, 100), 1)).toMatchObject([{ kind: 'store', start: 70, next: 100 }]);
    expect(receiver.position).toMatchObject({ received: 100, vdl: 70 });
    expect(receiver.step(durable(100), 2)).toEqual([{ kind: 'ack', to: primary, gap: false }]);
    expect(receiver.position).toMatchObject({ received: 100, vcl: 100, vdl: 100 });
  });

  test('a message beyond a gap is not stored, and asks for what is missing', () => {
    const receiver = following(3, 70);
    expect(receiver.step(shipped(3, 90, 120), 1)).toEqual([{ kind: 'ack', to: primary, gap: true }]);
    expect(receiver.position.received).toBe(70);
  });

  test('a heartbeat beyond what has arrived tells of a lost last message', () => {
    const receiver = following(3, 70);
    expect(receiver.step(shipped(3, 120, 120), 1)).toEqual([{ kind: 'ack', to: primary, gap: true }]);
    expect(receiver.step(shipped(3, 70, 70), 2)).toEqual([]);
  });

  test('duplicates are passed over, and a message that overlaps is stored for its new part', () => {
    const receiver = following(3, 70);
    receiver.step(shipped(3, 70, 100), 1);
    expect(receiver.step(shipped(3, 70, 100), 2)).toEqual([]);
    expect(receiver.step(shipped(3, 80, 130), 3)).toMatchObject([{ kind: 'store', start: 80, next: 130 }]);
    expect(receiver.position.received).toBe(130);
  });

  test('R4: an older path is ignored, whatever the receiver is doing, and hears nothing', () => {
    const receiver = following(5, 70);
    expect(receiver.step(shipped(4, 70, 100, regionId('ap-northeast-1')), 10_000)).toEqual([]);
    expect(receiver.hears(10_000)).toBe(false);
    expect(receiver.primary).toBe(primary);
    receiver.step({ kind: 'lost' }, 10_001);
    expect(receiver.step(shipped(4, 70, 100), 10_002)).toEqual([]);
    expect(receiver.step(shipped(5, 70, 100), 10_003)).toEqual([join(5)]);
  });

  test('a newer path is joined at once, also in the middle of joining an older one', () => {
    const receiver = following(3, 70);
    const next = regionId('eu-west-1');
    expect(receiver.step(shipped(4, 60, 60, next), 1)).toEqual([join(4)]);
    expect(receiver.step(shipped(6, 60, 60, next), 2)).toEqual([join(6)]);
    expect(receiver.step(joined(4, 60), 3)).toEqual([]);
    expect(receiver.state).toEqual({ kind: 'joining', head: 6 });
    expect(receiver.step(joined(6, 60), 4)).toEqual([{ kind: 'ack', to: next, gap: true }]);
    expect(receiver.primaryVdl).toBe(60);
  });

  test('a join that failed is tried again when the primary speaks', () => {
    const receiver = new Receiver();
    receiver.step(shipped(3, 0, 0), 0);
    receiver.step({ kind: 'joinFailed', head: epoch(2) }, 1);
    expect(receiver.state.kind).toBe('joining');
    receiver.step({ kind: 'joinFailed', head: epoch(3) }, 2);
    expect(receiver.state.kind).toBe('waiting');
    expect(receiver.step(shipped(3, 0, 0), 3)).toEqual([join(3)]);
  });

  test('a path that was lost is joined again, from what is durable', () => {
    const receiver = following(3, 70);
    receiver.step(shipped(3, 70, 100), 1);
    receiver.step({ kind: 'lost' }, 2);
    expect(receiver.position.head).toBe(0);
    expect(receiver.step(shipped(3, 100, 130), 3)).toEqual([join(3)]);
    receiver.step(joined(3, 80), 4);
    expect(receiver.position).toEqual({ head: 3, received: 80, vcl: 80, vdl: 80 });
  });

  test('what the writer of an earlier path says late changes nothing', () => {
    const receiver = following(3, 70);
    receiver.step(shipped(4, 60, 60), 1);
    expect(receiver.step({ kind: 'lost' }, 2)).toEqual([]);
    expect(receiver.step(durable(500), 3)).toEqual([]);
    expect(receiver.state).toEqual({ kind: 'joining', head: 4 });
    receiver.step(joined(4, 60), 4);
    expect(receiver.position).toMatchObject({ received: 60, vdl: 60 });
  });

  test('acknowledges every heartbeat period while it follows, and only then', () => {
    const receiver = following(3, 70);
    const { heartbeatMs } = shippingLimits;
    expect(receiver.step({ kind: 'tick' }, heartbeatDueMs - 1)).toEqual([]);
    expect(receiver.step({ kind: 'tick' }, heartbeatMs)).toEqual([{ kind: 'ack', to: primary, gap: false }]);
    expect(receiver.step({ kind: 'tick' }, heartbeatMs + heartbeatDueMs - 1)).toEqual([]);
    expect(receiver.step({ kind: 'tick' }, 2 * heartbeatMs)).toEqual([
      { kind: 'ack', to: primary, gap: false },
    ]);
    receiver.step({ kind: 'lost' }, 2 * heartbeatMs);
    expect(receiver.step({ kind: 'tick' }, 9 * heartbeatMs)).toEqual([]);
  });

  test('acknowledges half as often once it has said the same several times, and at full pace again with anything new', () => {
    const receiver = following(3, 70);
    const { heartbeatMs, ackRepeats } = shippingLimits;
    const ackTimes = (fromMs: number, untilMs: number): readonly number[] => {
      const times: number[] = [];
      for (let nowMs = fromMs; nowMs < untilMs; nowMs += heartbeatMs / 2)
        if (receiver.step({ kind: 'tick' }, nowMs).length > 0) times.push(nowMs);
      return times;
    };
    const restsAtMs = ackRepeats * heartbeatMs;
    const pace = (fromMs: number, everyMs: number, times: number): readonly number[] =>
      Array.from({ length: times }, (_, at) => fromMs + at * everyMs);
    expect(ackTimes(1, restsAtMs + 4 * heartbeatMs)).toEqual([
      ...pace(1 + heartbeatMs, heartbeatMs, ackRepeats),
      1 + restsAtMs + 2 * heartbeatMs,
    ]);
    // Something new: said at once, and repeated in time in case that was lost.
    receiver.step(shipped(3, 70, 90), 10_000);
    expect(receiver.step(durable(90), 10_000)).toEqual([{ kind: 'ack', to: primary, gap: false }]);
    expect(ackTimes(10_000, 10_000 + 2.5 * heartbeatMs)).toEqual(pace(10_000 + heartbeatMs, heartbeatMs, 2));
  });

  test('says whether the primary was heard lately', () => {
    const receiver = following(3, 70);
    expect(receiver.hears(reportLimits.offlineAfterMs - 1)).toBe(true);
    expect(receiver.hears(reportLimits.offlineAfterMs)).toBe(false);
  });
});
