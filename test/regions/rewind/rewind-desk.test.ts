import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import type { ControlStore } from '../../../regions/control/core/control-port.ts';
import {
  acquire,
  type ControlRecord,
  initialControlRecord,
} from '../../../regions/control/core/control-record.ts';
import { endRewind } from '../../../regions/control/core/rewind-record.ts';
import { RewindDesk } from '../../../regions/rewind/rewind-desk.ts';
import { configured } from '../../../storage/members/core/membership.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { epoch, lsn, type NodeId, regionId } from '../../../storage/redo/ids.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { fork, member, sixNodes } from '../../storage/samples.ts';
import { next } from '../control-records.ts';

const us = regionId('us-east-1');
const holder = { gateway: 'g1', incarnation: 'a' };
const day = 1_764_000_000_000_000;

/** Six nodes on epoch 1, durable to 1000, a commit every ten LSNs, one a second; a writer that carries a rewind out, or gives it up. */
function desk(
  options: {
    readonly floor?: number;
    readonly holding?: number;
    readonly givesUp?: boolean;
    /** What the nodes say at first: they hear of the durable point after clients do. */
    readonly toldFirst?: number;
  } = {},
) {
  const { floor = 0, holding = 6, givesUp = false, toldFirst = 1000 } = options;
  let polls = 0;
  let record: ControlRecord = next(acquire(initialControlRecord(us), { region: us, holder, lapsed: false }));
  let seq = 1;
  let forks = [fork(1, 0, 0)];
  const answer = (
    node: NodeId,
    request: StorageRequest,
  ): StorageReply | { kind: 'unanswered'; reason: string } => {
    if (request.kind === 'fetch')
      return {
        kind: 'fetched',
        head: epoch(1),
        vdl: lsn(1000),
        next: lsn(0),
        forks,
        frames: new Uint8Array(),
      };
    if (request.kind !== 'locate') return { kind: 'unanswered', reason: 'not asked for' };
    const refused = { kind: 'refused', reason: 'no', sealed: epoch(0) } as const;
    if (request.head !== 1) return { ...refused, code: 'UNKNOWN_EPOCH' };
    if (sixNodes.indexOf(node) >= holding) return { ...refused, code: 'NOT_COMPLETE' };
    const until = Math.min(
      request.upTo,
      1000,
      request.atUs === null ? 1000 : ((request.atUs - day) / 1e6) * 10,
    );
    const at = Math.floor(until / 10) * 10;
    if (at < floor) return { ...refused, code: 'BELOW_FLOOR', floor: { epoch: epoch(1), lsn: lsn(floor) } };
    return { kind: 'located', lsn: lsn(at), commitTimeUs: day + (at / 10) * 1e6 };
  };
  const store: ControlStore = {
    read: (done) => done({ kind: 'record', view: { seq, record } }),
    watch: () => () => undefined,
    compareAndSet: (expectedSeq, written, done) => {
      if (expectedSeq !== seq) return done({ kind: 'lost' });
      record = written;
      seq += 1;
      done({ kind: 'won', seq });
      const { rewind } = written;
      if (rewind === undefined) return;
      setTimeout(() => {
        if (!givesUp)
          forks = [...forks, { ...fork(rewind.epoch, rewind.to.epoch, rewind.to.lsn), left: epoch(1) }];
        record = next(endRewind(record, { id: rewind.id, holder }));
        seq += 1;
      }, 20);
    },
  } as ControlStore;
  return new RewindDesk({
    region: us,
    store,
    links: {
      nodes: sixNodes,
      membership: configured(sixNodes.map(member)),
      request: async (node, request) => answer(node, request),
    },
    agent: {
      sight: {
        get view() {
          return { record };
        },
      },
      nodes: {
        poll: async () => {
          polls += 1;
          return { head: record.epoch, vdl: lsn(polls === 1 ? toldFirst : 1000) };
        },
      },
      looked: () => undefined,
      noRecord: (reason) => `no record: ${reason}`,
    },
    runtime: machine,
    log: pino({ level: 'silent' }),
  });
}

const begin = (to: string, options?: Parameters<typeof desk>[0]) =>
  desk(options).begin({ to, branch: 'main' });
const timeAt = (second: number) => new Date(day / 1_000 + second * 1_000).toISOString();

describe('a rewind that is asked for', () => {
  test.each([
    ['555', 550],
    ['1:560', 560],
    [timeAt(33), 330],
  ])('to %s goes to the last transaction at or before it, and says what takes it back', async (to, at) => {
    expect(await begin(to)).toMatchObject({
      kind: 'rewind',
      rewind: {
        state: 'done',
        epoch: 2,
        to: { epoch: 1, lsn: at, commitTime: expect.stringContaining(timeAt(at / 10).slice(0, 19)) },
        left: { epoch: 1, lsn: 1000 },
        reason: null,
      },
    });
  });

  test.each([
    ['noon', {}, 'BAD_REQUEST', 'EPOCH:LSN'],
    ['1001', {}, 'AHEAD', 'above 1000'],
    ['2099-01-01T00:00:00Z', {}, 'AHEAD', 'ahead of the clock'],
    ['7:5', {}, 'UNKNOWN_EPOCH', 'epoch 7'],
    ['1000', {}, 'SAME_PLACE', 'where the database stands'],
    ['300', { floor: 400 }, 'BELOW_FLOOR', 'LSN 400 of epoch 1'],
    ['300', { holding: 3 }, 'UNAVAILABLE', 'four storage nodes'],
  ])('to %s with %o is refused with %s', async (to, options, code, words) => {
    expect(await begin(to, options)).toMatchObject({
      kind: 'refused',
      code,
      message: expect.stringContaining(words),
    });
  });

  test.each(['990', '995', timeAt(99)])(
    'to %s goes there even when the nodes have not heard yet that more is durable',
    async (to) => {
      for (const toldFirst of [980, 990])
        expect(await begin(to, { toldFirst })).toMatchObject({ rewind: { state: 'done', to: { lsn: 990 } } });
    },
  );

  test('to a place that the writer finds gone is told as given up', async () => {
    expect(await begin('300', { givesUp: true })).toMatchObject({
      rewind: { state: 'given-up', left: null },
    });
  });

  test('is told again while the agent lives, and no other is', async () => {
    const one = desk();
    const begun = await one.begin({ to: '300', branch: 'main' });
    if (begun.kind !== 'rewind') throw new Error(begun.message);
    expect(one.get(begun.rewind.id)).toEqual(begun);
    expect(one.get('us-east-1.rewind-none')).toMatchObject({ code: 'UNKNOWN_REWIND' });
    expect(await one.begin({ to: '300', branch: 'dev' })).toMatchObject({ code: 'NO_REWIND_OF_BRANCHES' });
  });
});
