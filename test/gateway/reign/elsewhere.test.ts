import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Elsewhere } from '../../../gateway/reign/core/elsewhere.ts';
import { epoch, lsn, regionId } from '../../../storage/redo/ids.ts';

const [eu, ap] = [regionId('eu-west-1'), regionId('ap-northeast-1')];
const reign = epoch(7);
const proof = (region: typeof eu, vdl: number, head = reign) => ({ region, head, vdl: lsn(vdl) });
const everything = Number.MAX_SAFE_INTEGER;

describe('what other regions have', () => {
  it('limits nothing without a policy, and everything that is not proven with an RPO of 0', () => {
    const elsewhere = new Elsewhere(reign, lsn(10));
    elsewhere.committed(lsn(20), 1);
    expect(elsewhere.limit(2)).toBe(everything);
    elsewhere.demand(0, lsn(20));
    expect(elsewhere.limit(2)).toBe(10);
    elsewhere.committed(lsn(30), 3);
    elsewhere.acknowledged(proof(eu, 20));
    expect(elsewhere.limit(3)).toBe(20);
    elsewhere.acknowledged(proof(ap, 30));
    expect(elsewhere.limit(3)).toBe(everything);
    elsewhere.committed(lsn(40), 4);
    expect(elsewhere.limit(4)).toBe(30);
    elsewhere.demand(null, lsn(40));
    expect(elsewhere.limit(4)).toBe(everything);
  });

  it('with an RPO of N limits nothing until the oldest commit that the best secondary lacks is older than N', () => {
    const elsewhere = new Elsewhere(reign, lsn(10));
    elsewhere.demand(100, lsn(10));
    elsewhere.committed(lsn(20), 1_000);
    elsewhere.committed(lsn(30), 1_090);
    expect(elsewhere.limit(1_100)).toBe(everything);
    expect(elsewhere.limit(1_101)).toBe(10);
    elsewhere.acknowledged(proof(eu, 20));
    expect(elsewhere.limit(1_101)).toBe(everything);
    expect(elsewhere.limit(1_191)).toBe(20);
    elsewhere.acknowledged(proof(eu, 30));
    expect(elsewhere.limit(9_000)).toBe(everything);
  });

  it('believes no age of redo that was there before it listened', () => {
    const begun = new Elsewhere(reign, lsn(0));
    begun.demand(60_000, lsn(500));
    expect(begun.limit(0)).toBe(0);
    begun.acknowledged(proof(eu, 499));
    expect(begun.limit(0)).toBe(499);
    begun.acknowledged(proof(eu, 500));
    expect(begun.limit(0)).toBe(everything);
  });

  it('takes no other reign at its word, and no region back what it has proved', () => {
    const elsewhere = new Elsewhere(reign, lsn(0));
    elsewhere.demand(0, lsn(50));
    elsewhere.acknowledged(proof(eu, 50, epoch(6)));
    elsewhere.acknowledged(proof(eu, 50, epoch(8)));
    expect(elsewhere.limit(0)).toBe(0);
    elsewhere.acknowledged(proof(eu, 40));
    elsewhere.acknowledged(proof(ap, 5));
    expect(elsewhere.limit(0)).toBe(40);
    expect([...elsewhere.heard]).toEqual([
      [eu, 40],
      [ap, 5],
    ]);
  });

  it('never lets out what is older than the RPO and held by nobody else, in any history', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('commit'), bytes: fc.integer({ min: 1, max: 9 }) }),
      fc.record({
        kind: fc.constant('ack'),
        region: fc.constantFrom(eu, ap),
        part: fc.integer({ min: 0, max: 100 }),
      }),
      fc.record({ kind: fc.constant('wait'), ms: fc.integer({ min: 1, max: 40 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 0, max: 60 }), (steps, rpoMs) => {
        const elsewhere = new Elsewhere(reign, lsn(0));
        elsewhere.demand(rpoMs, lsn(0));
        const commits: { lsn: number; atMs: number }[] = [];
        let [nowMs, end, best] = [0, 0, 0];
        for (const now of steps) {
          if (now.kind === 'wait' && 'ms' in now) nowMs += now.ms;
          if (now.kind === 'commit' && 'bytes' in now) {
            end += now.bytes;
            commits.push({ lsn: end, atMs: nowMs });
            elsewhere.committed(lsn(end), nowMs);
          }
          if (now.kind === 'ack' && 'part' in now) {
            const vdl = Math.floor((end * now.part) / 100);
            best = Math.max(best, vdl);
            elsewhere.acknowledged(proof(now.region, vdl));
          }
          const missing = commits.find((commit) => commit.lsn > best);
          const within = missing === undefined || (rpoMs > 0 && nowMs - missing.atMs <= rpoMs);
          expect(elsewhere.limit(nowMs)).toBe(within ? everything : best);
        }
      }),
    );
  });
});
