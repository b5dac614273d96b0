import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EpochTree } from '../../../storage/history/epoch-tree.ts';
import { type Floor, noFloor } from '../../../storage/history/floor.ts';
import { Segment } from '../../../storage/log/core/segment.ts';
import { epoch, lsn } from '../../../storage/redo/ids.ts';
import {
  imagesOn,
  keptBoundaries,
  type LogFileFacts,
  planRetention,
} from '../../../storage/retention/core/retention.ts';
import { Prng } from '../../simulation/world/prng.ts';
import { fork, held } from '../samples.ts';

const at = (position: number, of = 1): Floor => ({ epoch: epoch(of), lsn: lsn(position) });

/** Epoch 1 up to 200, 2 forks it at 200. File n holds LSNs 40·(n−1) to 40·n, its newest commit is of time n; the last one is open. */
function node(floor: Floor = noFloor) {
  const tree = new EpochTree([fork(1, 0, 0), fork(2, 1, 200)]);
  const segment = new Segment(tree, floor);
  for (let base = 0; base < 200; base += 10)
    segment.insert({
      ...held({ base, prev: base }),
      position: { file: 1 + Math.floor(base / 40), offset: base, length: 46 },
    });
  return { tree, segment };
}

const fileAt = (number: number): LogFileFacts => ({
  number,
  bytes: 100,
  isRolled: number < 5,
  lastCommitUs: number,
});
const files = [1, 2, 3, 4, 5].map(fileAt);

interface Case {
  readonly keepFrom?: number;
  readonly sinceUs?: number;
  readonly bytesMax?: number | null;
  readonly copies?: number;
  readonly boundaries?: readonly Floor[];
  readonly files?: readonly LogFileFacts[];
  readonly floor?: Floor;
  readonly head?: number;
  readonly durable?: { readonly head: number; readonly vdl: number };
}

function plan(given: Case) {
  const { keepFrom = 200, sinceUs = 0, bytesMax = null, copies = 200, head = 1 } = given;
  const { head: durableHead, vdl } = given.durable ?? { head: 1, vdl: 200 };
  const found = planRetention({
    ...node(given.floor),
    durable: { head: epoch(durableHead), vdl: lsn(vdl) },
    request: { head: epoch(head), keepFrom: lsn(keepFrom), sinceUs, bytesMax, copies: lsn(copies) },
    holdings: {
      files: given.files ?? files,
      boundaries: given.boundaries ?? [40, 80, 110, 150, 190].map((position) => at(position)),
      imageBytes: 0,
    },
  });
  return [found.floor.lsn, found.through, found.window];
}

describe('what a node lets go of its log', () => {
  it.each<readonly [string, Case, readonly [floor: number, through: number, window: number]]>([
    ['nothing while all of it is in the window', {}, [0, 0, 0]],
    ['what is older than the window, up to a boundary', { sinceUs: 3 }, [80, 2, 80]],
    ['no file of which a part is above the boundary', { sinceUs: 4 }, [110, 2, 120]],
    ['never the file that is written', { sinceUs: 99 }, [150, 3, 160]],
    ['what is beyond the bytes, whole', { bytesMax: 250 }, [150, 3, 120]],
    ['nothing that is within the bytes', { bytesMax: 500 }, [0, 0, 0]],
    [
      'the older of the two only when nothing younger is too much',
      { sinceUs: 3, bytesMax: 450 },
      [80, 2, 80],
    ],
    ['nothing that somebody needs', { sinceUs: 99, keepFrom: 100 }, [80, 2, 160]],
    ['nothing that somebody needs, whatever the bytes', { bytesMax: 0, keepFrom: 39 }, [0, 0, 160]],
    ['nothing before four nodes have images', { sinceUs: 99, copies: 79 }, [40, 1, 160]],
    ['nothing without images here', { sinceUs: 99, boundaries: [] }, [0, 0, 160]],
    ['nothing above what is durable', { sinceUs: 99, durable: { head: 1, vdl: 100 } }, [80, 2, 160]],
    [
      'nothing for images of a path that is not durable',
      { sinceUs: 99, boundaries: [at(210, 2)] },
      [0, 0, 160],
    ],
    [
      'what it need not keep on a path that went on',
      { sinceUs: 3, head: 2, durable: { head: 2, vdl: 230 } },
      [80, 2, 80],
    ],
    ['nothing on the word of a path it does not know', { sinceUs: 99, head: 7 }, [0, 0, 160]],
    ['what an earlier drop left over', { sinceUs: 3, floor: at(80), boundaries: [at(80)] }, [80, 2, 80]],
    ['nothing more on a path that leaves below the floor', { sinceUs: 99, floor: at(210, 2) }, [210, 0, 0]],
    ['nothing in the window although the floor is above', { floor: at(150) }, [150, 0, 0]],
  ])('is %s', (_, given, expected) => {
    expect(plan(given)).toEqual(expected);
  });

  it('a file without a commit is as old as the one after it', () => {
    const silent = files.map((file) => (file.number === 2 ? { ...file, lastCommitUs: null } : file));
    expect(plan({ files: silent, sinceUs: 2 })).toEqual([40, 1, 40]);
    expect(plan({ files: silent, sinceUs: 4 })).toEqual([110, 2, 120]);
  });

  it('S20: no file with what a recovery has just brought, on the newest path, before that is told to be durable', () => {
    const { tree, segment } = node();
    const position = { file: 3, offset: 900, length: 46 };
    segment.insert({ ...held({ epoch: 2, base: 200, prev: 200 }), position });
    const question = {
      ...{ tree, segment, durable: { head: epoch(1), vdl: lsn(200) } },
      request: { head: epoch(1), keepFrom: lsn(200), sinceUs: 99, bytesMax: null, copies: lsn(200) },
      holdings: { files, boundaries: [at(150)], imageBytes: 0 },
    };
    // Frames that no path leads to go with their file.
    expect(planRetention(question).through).toBe(3);
    expect(planRetention({ ...question, newest: epoch(2) }).through).toBe(2);
  });

  it('S17: nothing behind a file that has to stay, for only a prefix of the files can go', () => {
    const open = files.map((file) => (file.number === 2 ? { ...file, isRolled: false } : file));
    expect(plan({ files: open, sinceUs: 99 })).toEqual([40, 1, 40]);
    expect(plan({ files: open, bytesMax: 0 })).toEqual([40, 1, 40]);
  });

  it('S19: never lies above what is needed, or where fewer than four or this node have images, and never goes back', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const dice = Prng.fromSeed(seed);
        const boundaries = [...new Set([1, 2, 3, 4].map(() => 10 * dice.below(21)))].sort((a, b) => a - b);
        const floor = dice.pick([0, ...boundaries]);
        const given = {
          keepFrom: dice.below(220),
          copies: dice.below(220),
          sinceUs: dice.below(7),
          bytesMax: dice.pick([null, 0, 150, 350, 500]),
          boundaries: boundaries.map((position) => at(position)),
          floor: at(floor),
        };
        const [chosen = 0, through = 0] = plan(given);
        expect(chosen).toBeGreaterThanOrEqual(floor);
        if (chosen > floor) {
          expect(boundaries).toContain(chosen);
          expect(chosen).toBeLessThanOrEqual(Math.min(given.keepFrom, given.copies, 200));
        }
        // Files end at 40·n.
        expect(40 * through).toBeLessThanOrEqual(chosen);
        expect(through).toBeLessThan(5);
      }),
      { numRuns: 500 },
    );
  });

  it('tells the newest images on a path', () => {
    const { tree } = node();
    const boundaries = [at(40), at(200), at(220, 2)];
    expect([1, 2].map((head) => imagesOn(tree, boundaries, epoch(head)))).toEqual([200, 220]);
    expect(imagesOn(tree, [], epoch(1))).toBe(0);
  });
});

describe('boundaries that merges of images leave alone', () => {
  it.each([
    [[], 0, []],
    [[30, 40, 50], 0, [30]],
    [[30, 40, 50], 30, [30, 40]],
    [[40, 50], 30, [40]],
    [[30], 30, [30]],
  ])('of %j with the floor at %j are %j', (boundaries, floor, kept) => {
    expect(keptBoundaries(boundaries.map(lsn), lsn(floor))).toEqual(kept);
  });

  it('let the floor follow the window, although merges take every other boundary away', () => {
    const { tree } = node();
    const segment = new Segment(tree, noFloor);
    const window = 6;
    let floor: Floor = noFloor;
    let boundaries: readonly number[] = [];
    const lags: number[] = [];
    for (let number = 1; number <= 60; number++) {
      const end = number * 10;
      segment.insert({
        ...held({ base: end - 10 }),
        position: { file: number, offset: 0, length: 39 },
      });
      const kept = keptBoundaries(boundaries.map(lsn), floor.lsn);
      // The worst there can be: at each step merges leave the newest boundary and those that are kept.
      boundaries = [...kept, end];
      const plan = planRetention({
        tree,
        segment,
        durable: { head: epoch(1), vdl: lsn(end) },
        request: {
          head: epoch(1),
          keepFrom: lsn(end),
          sinceUs: number - window,
          bytesMax: null,
          copies: lsn(end),
        },
        holdings: {
          files: Array.from({ length: number }, (_, index) => ({
            ...fileAt(index + 1),
            isRolled: index + 1 < number,
          })),
          boundaries: boundaries.map((place) => at(place)),
          imageBytes: 0,
        },
      });
      floor = plan.floor;
      segment.raiseFloor(floor);
      lags.push(number - floor.lsn / 10);
    }
    expect(Math.max(...lags.slice(20))).toBeLessThanOrEqual(2 * window + 2);
    expect(Math.min(...lags.slice(20))).toBeGreaterThanOrEqual(window);
  });
});
