import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { positionOn } from '../../../regions/control/core/survivors.ts';
import {
  isWorthPromising,
  type Neighbour,
  orderRetention,
  type RetentionQuestion,
} from '../../../regions/retention/core/retention.ts';
import { retentionSchema } from '../../../regions/retention/core/retention-limits.ts';
import type { RetainedReply } from '../../../storage/core.ts';
import { branchName, epoch, lsn, nodeId, regionId } from '../../../storage/redo/ids.ts';
import { Prng } from '../../simulation/world/prng.ts';
import { fork } from '../../storage/samples.ts';

const MiB = 1024 * 1024;
const hourMs = 3_600_000;
const forks = [fork(1, 0, 0), fork(2, 1, 10 * MiB)];
const me = { epoch: epoch(2), vdl: lsn(20 * MiB), forks };

const answer = (images: number, more: Partial<RetainedReply> = {}): RetainedReply => ({
  kind: 'retained',
  head: epoch(2),
  images: lsn(images),
  floor: { epoch: epoch(1), lsn: lsn(0) },
  window: lsn(0),
  lowWater: lsn(0),
  logBytes: 20 * MiB,
  imageBytes: 0,
  ...more,
});
const six = [19, 18, 17, 16, 15, 14].map((at) => answer(at * MiB));

const neighbour = (region: string, at: number | null, lacksForMs = 0): Neighbour => ({
  region: regionId(region),
  at: at === null ? null : lsn(at),
  lacksForMs,
});

const names = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'].map(nodeId);

interface More extends Partial<Omit<RetentionQuestion, 'answers'>> {
  /** Of n1, n2 and so on. */
  readonly answers?: readonly RetainedReply[];
}

function order(neighbours: readonly Neighbour[], { answers = six, ...more }: More = {}) {
  const config = { hours: 24 };
  const byNode = new Map(answers.map((reply, at) => [nodeId(`n${at + 1}`), reply]));
  return orderRetention({
    ...{ config, me, neighbours, isSearching: false, answers: byNode, sets: [names], nowUs: 1e15 },
    backup: null,
    ...more,
  });
}

describe('what a region keeps of its log', () => {
  it('is the window, for copies on four nodes, and for the region that has least', () => {
    const { request } = order([neighbour('eu', 12 * MiB), neighbour('ap', 19 * MiB)]);
    expect(request).toEqual({
      kind: 'retain',
      head: 2,
      keepFrom: 12 * MiB,
      sinceUs: 1e15 - 24 * 3_600e6,
      bytesMax: null,
      copies: 16 * MiB,
    });
  });

  it('is all of it while fewer than four nodes have answered for this path', () => {
    expect(order([], { answers: six.slice(0, 3) }).request.copies).toBe(0);
    const stale = six.map((reply, index) => (index < 3 ? { ...reply, head: epoch(1) } : reply));
    expect(order([], { answers: stale }).request.copies).toBe(0);
  });

  it('is for copies on four nodes of both sets while a node is being replaced', () => {
    const after = [...names.slice(0, 5), nodeId('n7')];
    const joins = [20, 20, 12, 11, 10, 20, 20].map((at) => answer(at * MiB));
    // Of all seven, four hold images at 20 MiB.
    expect(order([], { answers: joins, sets: [names, after] }).request.copies).toBe(12 * MiB);
    // A node that is none of the region's any more does not count.
    expect(order([], { answers: joins.slice(0, 6), sets: [after] }).request.copies).toBe(11 * MiB);
  });

  it('is all of it for a region of which nothing is known, and while lost writes are looked for', () => {
    expect(order([neighbour('eu', null)]).request.keepFrom).toBe(0);
    expect(order([], { isSearching: true }).request.keepFrom).toBe(0);
    expect(order([]).request.keepFrom).toBe(20 * MiB);
  });

  describe('R73: for branches', () => {
    const dev = { epoch: epoch(3), branch: branchName('dev'), parent: epoch(2), forkLsn: lsn(12 * MiB) };
    const own = {
      ...dev,
      epoch: epoch(4),
      branch: branchName('own'),
      parent: epoch(3),
      forkLsn: lsn(15 * MiB),
    };
    const window = { window: lsn(18 * MiB) };
    const answers = six.map((reply) => ({ ...reply, ...window }));
    const live = [
      { name: 'dev', head: epoch(3), forks: [...forks, dev], keepFrom: dev.forkLsn },
      { name: 'own', head: epoch(4), forks: [...forks, dev, own], keepFrom: own.forkLsn },
    ];

    it('is from where each left this path, told to the nodes by its head and to people by its name', () => {
      const { request, held } = order([], { answers, branches: { knownTo: epoch(4), live, awaited: [] } });
      expect(request).toMatchObject({
        keepFrom: 12 * MiB,
        branches: {
          knownTo: 4,
          live: [
            { head: 3, keepFrom: 12 * MiB },
            { head: 4, keepFrom: 15 * MiB },
          ],
        },
      });
      expect(held.map(({ reason }) => reason)).toContain('branch own');
    });

    it('is the same for a branch of one that was deleted: it shares what that one shared', () => {
      const branches = { knownTo: epoch(4), live: live.slice(1), awaited: [] };
      expect(order([], { answers, branches }).request.keepFrom).toBe(12 * MiB);
    });

    it('is all of it while the path of one is not known, and nobody is told a list that may lack one', () => {
      const unknown = { name: 'dev', head: epoch(3), forks: [], keepFrom: dev.forkLsn };
      const branches = { knownTo: epoch(4), live: [unknown], awaited: [] };
      expect(order([], { branches }).request.keepFrom).toBe(0);
      expect(order([], { branches: null }).request).not.toHaveProperty('branches');
    });

    it('is all of it until the nodes are seen to have one', () => {
      const branches = { knownTo: epoch(3), live: live.slice(0, 1), awaited: ['own'] };
      const { request, held } = order([], { answers, branches });
      expect(request).toMatchObject({ keepFrom: 0, branches: { knownTo: 3 } });
      expect(held.map(({ reason }) => reason)).toContain('branch own');
    });
  });

  describe('R60: for a region that is away', () => {
    const bytes = { hours: 24, bytes: 4 * MiB };
    it.each([
      [
        'one that lacks little, for long',
        neighbour('eu', 19 * MiB, 23 * hourMs),
        { hours: 24 },
        19 * MiB,
        null,
      ],
      [
        'one that lacks it for longer than the window',
        neighbour('eu', 19 * MiB, 25 * hourMs),
        { hours: 24 },
        20 * MiB,
        /24 h/,
      ],
      ['one that lacks much, without a limit', neighbour('eu', 0, hourMs), { hours: 24 }, 0, null],
      ['one within twice the bytes', neighbour('eu', 12 * MiB, hourMs), bytes, 12 * MiB, null],
      [
        'one beyond twice the bytes',
        neighbour('eu', 12 * MiB - 1, hourMs),
        bytes,
        20 * MiB,
        /retention.bytes/,
      ],
      [
        'an unknown one, by the length of the log',
        neighbour('eu', null, 1),
        bytes,
        20 * MiB,
        /retention.bytes/,
      ],
      ['an unknown one that may yet be heard', neighbour('eu', null, 1), { hours: 1 }, 0, null],
      [
        'one that lacks nothing, however long it is silent',
        neighbour('eu', 20 * MiB, 99 * hourMs),
        { hours: 24 },
        20 * MiB,
        null,
      ],
    ])('%s', (_, of, config, keepFrom, reason) => {
      const { request, letGo } = order([of], { config });
      expect(request.keepFrom).toBe(keepFrom);
      if (reason === null) expect(letGo).toEqual([]);
      else expect(letGo).toEqual([{ region: 'eu', reason: expect.stringMatching(reason) }]);
    });
  });

  it('is told in bytes, each for the one that has to go first', () => {
    const answers = six.map((reply) => ({
      ...reply,
      floor: { epoch: epoch(1), lsn: lsn(5 * MiB) },
      window: lsn(18 * MiB),
    }));
    const { held, floor } = order([neighbour('eu', 12 * MiB), neighbour('ap', 7 * MiB)], { answers });
    expect(floor).toBe(5 * MiB);
    expect(held).toEqual([
      { reason: 'window', bytes: 2 * MiB },
      { reason: 'files', bytes: 2 * MiB },
      { reason: 'secondary ap', bytes: 5 * MiB },
      { reason: 'secondary eu', bytes: 4 * MiB },
      { reason: 'images', bytes: 2 * MiB },
    ]);
  });

  it('is told without a gap or an overlap, whatever holds it', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const dice = Prng.fromSeed(seed);
        const at = () => dice.below(20 * MiB + 1);
        const from = lsn(at());
        const answers = six.map(() =>
          answer(at(), {
            floor: { epoch: epoch(1), lsn: lsn(Math.min(20 * MiB, from + dice.below(MiB))) },
            window: lsn(at()),
          }),
        );
        const { held, floor } = order([neighbour('eu', at()), neighbour('ap', at())], {
          answers,
          isSearching: dice.perMille(200),
        });
        expect(held.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(20 * MiB - floor);
      }),
    );
  });
});

describe('R96: a promise is worth a write', () => {
  it.each([
    ['when what is kept shrinks by a sixteenth', 0, 100, 1_600, true],
    ['not when it shrinks by less', 0, 99, 1_600, false],
    ['when all of it would go', 500, 600, 600, true],
    ['never when nothing would go', 600, 600, 600, false],
  ])('%s', (_, promised, wanted, vdl, isWorth) =>
    expect(isWorthPromising(lsn(promised), lsn(wanted), lsn(vdl))).toBe(isWorth),
  );

  it('as far as the window, the copies and those who need the log let go, whatever was promised before', () => {
    const answers = six.map((reply) => ({ ...reply, window: lsn(9 * MiB) }));
    const bound = { reason: 'control record', at: lsn(0) };
    expect(order([neighbour('eu', 12 * MiB)], { answers, bound }).wanted).toBe(9 * MiB);
    expect(order([neighbour('eu', 8 * MiB)], { answers, bound }).wanted).toBe(8 * MiB);
    expect(order([], { answers: answers.map((reply) => ({ ...reply, images: lsn(7 * MiB) })) }).wanted).toBe(
      7 * MiB,
    );
    expect(order([], { answers, isSearching: true }).wanted).toBe(0);
  });
});

describe('the position of another region', () => {
  it('is how far it has this path', () => {
    const on = (of: number, vdl: number, known = forks) =>
      positionOn({ epoch: epoch(of), vdl: lsn(vdl), forks: known }, me);
    expect([on(2, 12 * MiB), on(2, 25 * MiB), on(1, 9 * MiB), on(1, 12 * MiB)]).toEqual(
      [12, 20, 9, 10].map((at) => at * MiB),
    );
    // It left this path earlier than anybody who follows it.
    expect(on(3, 15 * MiB, [fork(1, 0, 0), fork(3, 1, 4 * MiB)])).toBe(4 * MiB);
    expect([on(7, 5 * MiB), positionOn(null, me)]).toEqual([null, null]);
  });
});

describe('retention as it is set', () => {
  it.each([
    [{}, { hours: 24 }],
    [
      { hours: 0.5, bytes: MiB },
      { hours: 0.5, bytes: MiB },
    ],
    [{ hours: 0 }, null],
    [{ hours: 99_999 }, null],
    [{ bytes: 1000 }, null],
    [{ days: 1 }, null],
  ])('%j', (given, expected) => {
    const parsed = retentionSchema.safeParse(given);
    expect(parsed.success ? parsed.data : null).toEqual(expected);
  });
});
