import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, expect, it } from 'vitest';
import { type Lsn, type PageNo, pageNo, zeroLsn } from '../../../storage/redo/ids.ts';
import { diffPage, encodeMtr, type Mtr, type PageChange, type Shrink } from '../../../storage/redo/record.ts';
import { Bench, type Written } from './page-bench.ts';

afterEach(() => Bench.closeAll());

const pageCount = 12;
type Version = { readonly lsn: Lsn; readonly pages: ReadonlyMap<PageNo, Uint8Array> };

/** The pages of one history, as plain bytes. */
class Model implements Written {
  readonly versions: Version[];
  private pages: Map<PageNo, Uint8Array>;
  private readonly below: (bound: number) => number;

  constructor(versions: readonly Version[], below: (bound: number) => number) {
    this.versions = [...versions];
    this.pages = new Map(versions.at(-1)?.pages);
    this.below = below;
  }

  get end(): Lsn {
    return this.versions.at(-1)?.lsn ?? zeroLsn;
  }

  at(lsn: Lsn): ReadonlyMap<PageNo, Uint8Array> {
    return this.versions.find((version) => version.lsn === lsn)?.pages ?? new Map();
  }

  change(): Mtr {
    const changes: PageChange[] = [];
    const shrink: Shrink | null =
      this.below(8) === 0 ? { kind: 'shrink', pages: this.below(pageCount) } : null;
    for (const page of this.pages.keys()) if (page > (shrink?.pages ?? pageCount)) this.pages.delete(page);
    for (const page of new Set([this.below(pageCount), this.below(pageCount)].map((at) => pageNo(1 + at)))) {
      const before = this.pages.get(page) ?? null;
      const after = before?.slice() ?? new Uint8Array(4096);
      const isWhole = this.below(4) === 0;
      const from = isWhole ? 0 : this.below(4_000);
      after.fill(1 + this.below(255), from, isWhole ? 4096 : from + 50);
      this.pages.set(page, after);
      const change = diffPage(page, before, after);
      if (change !== null) changes.push(change);
    }
    return encodeMtr(changes, [{ kind: 'commit', commitTimeUs: 1, trace: null }], 10 * 2 ** 30, shrink);
  }

  committed(lsn: Lsn): void {
    this.versions.push({ lsn, pages: new Map(this.pages) });
  }
}

const share = fc.double({ min: 0, max: 1, noNaN: true });
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('write' as const), count: fc.integer({ min: 1, max: 12 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('fold' as const), to: share }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('turns' as const), count: fc.integer({ min: 1, max: 12 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fork' as const), at: share }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('crash' as const),
      torn: share,
      flip: fc.option(fc.record({ file: share, byte: share })),
    }),
  },
);

it('a page is at every read point of its history what plain pages are, through stores, merges, forks, crashes, rot and a shorter database (S9, S12, S14, S23)', async () => {
  const plan = fc.record({
    seed: fc.integer({ min: 1, max: 2 ** 30 }),
    steps: fc.array(step, { minLength: 5, maxLength: 30 }),
    foldPages: fc.constantFrom(1, 2, 5, 100),
    storeAfterMs: fc.constantFrom(1, 60_000),
  });
  await fc.assert(
    fc.asyncProperty(plan, async ({ seed, steps, foldPages, storeAfterMs }) => {
      let state = seed;
      const below = (bound: number): number => {
        state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
        return Math.floor((state / 2 ** 31) * bound);
      };
      const bench = await Bench.open({ foldPages, storeAfterMs, foldBytes: 2_048, fetchPages: 3 });
      bench.msPerLook = 0.1;
      bench.fork(1, 0, zeroLsn);
      let head = 1;
      const models = new Map([[1, new Model([], below)]]);
      const current = (): Model => models.get(head) ?? expect.fail('no model');
      bench.source = (at, pages) => {
        const found = models.get(at.head)?.at(at.lsn);
        return Promise.resolve(pages.map((page) => found?.get(page) ?? null));
      };
      const check = async (count: number, mayRefuse: boolean): Promise<void> => {
        const epochs = [...models.keys()];
        for (let checks = 0; checks < count; checks++) {
          const of = checks % 3 === 0 ? (epochs[below(epochs.length)] ?? head) : head;
          const { versions } = models.get(of) ?? current();
          const version = versions[below(versions.length)];
          const page = pageNo(1 + below(pageCount));
          if (version === undefined) continue;
          const found = await bench.page(of, version.lsn, page);
          if (mayRefuse && found === 'NOT_COMPLETE') continue;
          const wanted = version.pages.get(page);
          const isRight =
            found instanceof Buffer
              ? wanted !== undefined && found.equals(wanted)
              : found === null && wanted === undefined;
          expect(
            isRight,
            `page ${page} at ${version.lsn} of epoch ${of}: ${typeof found === 'string' ? found : ''}`,
          ).toBe(true);
        }
      };
      let folded: Lsn = zeroLsn;
      for (const doing of steps) {
        const model = current();
        const pick = (at: number): Lsn =>
          model.versions[Math.floor(at * (model.versions.length - 1))]?.lsn ?? zeroLsn;
        if (doing.kind === 'write') bench.write(head, model.end, model, doing.count);
        else if (doing.kind === 'fold') {
          folded = pick(doing.to);
          await bench.reader.fold({ head: head as never, lowWater: folded });
        } else if (doing.kind === 'turns')
          for (let turn = 0; turn < doing.count; turn++) {
            await nextTurn();
            await bench.reader.fold({ head: head as never, lowWater: folded });
          }
        else if (doing.kind === 'fork') {
          const at = pick(doing.at);
          bench.fork(head + 1, head, at);
          models.set(
            head + 1,
            new Model(
              model.versions.filter(({ lsn }) => lsn <= at),
              below,
            ),
          );
          head += 1;
          folded = zeroLsn;
          await bench.reader.fold({ head: head as never, lowWater: at });
          await bench.reader.settled();
        } else {
          const told = below(2) === 0 ? { head, lsn: folded } : { head: 1, lsn: zeroLsn };
          await bench.crash(told, doing.torn, () => {
            const { flip } = doing;
            const paths = bench.disk.paths().filter((path) => path.startsWith('images/'));
            const path = paths[Math.floor((flip?.file ?? 0) * (paths.length - 1))];
            if (flip === null || path === undefined) return;
            bench.disk.rot(path, Math.floor(flip.byte * (bench.disk.contents(path).length - 1)));
          });
        }
        await check(6, true);
      }
      // Whatever was rotten has been healed after a while, and everything is served.
      for (let round = 0; round < 8; round++) {
        await check(10, true);
        const all = Array.from({ length: pageCount }, (_, at) => pageNo(1 + at));
        for (const boundary of bench.images.boundaries) await bench.images.read(all, boundary);
        for (let turn = 0; turn < 12; turn++) {
          bench.nowMs += 600;
          await bench.reader.fold({ head: head as never, lowWater: folded });
          await nextTurn();
        }
        await bench.reader.settled();
      }
      await check(30, false);
      await bench.reader.close();
    }),
    { numRuns: 40 },
  );
}, 60_000);
