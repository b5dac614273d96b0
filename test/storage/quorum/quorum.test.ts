import { describe, expect, it } from 'vitest';
import { EpochTree } from '../../../storage/history/epoch-tree.ts';
import { pgclOf } from '../../../storage/members/core/quorum-sets.ts';
import { recoverablePgcl } from '../../../storage/quorum/core/quorum.ts';
import { QuorumWriter } from '../../../storage/quorum/core/quorum-writer.ts';
import { branchName, epoch, lsn, nodeId, pageNo, pgId, regionId } from '../../../storage/redo/ids.ts';
import { fork, sixNodes, tenBytes } from '../samples.ts';

describe('PGCL', () => {
  it.each([
    [[], 0],
    [[100, 100, 100], 0],
    [[100, 100, 100, 7], 7],
    [[100, 90, 80, 70, 60], 70],
    [[1, 2, 3, 4, 5, 6], 3],
    [[6, 5, 4, 3, 2, 1], 3],
    [[0, 0, 50, 50, 50, 50], 50],
    [[0, 0, 0, 50, 50, 50], 0],
    [[1000, 9, 10, 200, 30, 4], 10],
  ])('of SCLs %j is %i, the fourth-highest of six', (scls, expected) => {
    expect(pgclOf([sixNodes], (node) => lsn(scls[sixNodes.indexOf(node)] ?? 0))).toBe(expected);
  });
});

describe('what recovery must assume acknowledged', () => {
  it.each([
    [[5, 5, 5], 5],
    [[0, 0, 9], 9],
    [[3, 8, 1, 4], 8],
  ])('from SCLs %j is %i, the highest of any three or more', (scls, expected) => {
    expect(recoverablePgcl(scls.map(lsn))).toBe(expected);
  });

  it('cannot be told from two copies', () => {
    expect(() => recoverablePgcl([lsn(1), lsn(2)])).toThrow('needs 3 copies, got 2');
  });
});

it("in Aurora's example, odd LSNs to one group and even to the other, VCL is 104 though PGCLs are 103 and 104", () => {
  // SIGMOD 2018, figure 3: 105 lacks its quorum, so VCL is 104 and neither the lower nor the higher PGCL.
  const record = (at: number) => ({ bytes: tenBytes, pg: pgId(at % 2), end: lsn(at), lastCpl: lsn(at) });
  const writer = new QuorumWriter({
    sets: [sixNodes],
    authority: epoch(1),
    head: epoch(1),
    forks: new EpochTree([fork(1, 0, 100)]).all(),
    start: lsn(100),
    nowMs: 0,
  });
  writer.offer([101, 102, 103, 104, 105, 106].map(record), 0);
  const ack = (node: number, odd: number, even: number) => {
    const scls = [[pgId(1), lsn(odd)] as const, [pgId(0), lsn(even)] as const];
    writer.step({ kind: 'acked', node: nodeId(`n${node}`), head: epoch(1), scls }, 0);
  };
  ack(1, 105, 106);
  ack(2, 105, 104);
  ack(3, 105, 104);
  expect([writer.vcl, writer.vdl]).toEqual([100, 100]);
  ack(4, 103, 104);
  expect([writer.vcl, writer.vdl]).toEqual([104, 104]);
  ack(5, 105, 102);
  expect([writer.vcl, writer.vdl]).toEqual([105, 105]);
});

describe('names and numbers', () => {
  it.each(['n1', 'us-east-1', '0', 'a'.repeat(63)])('%s is a name', (text) => {
    expect([nodeId(text), regionId(text), branchName(text)]).toEqual([text, text, text]);
  });

  it.each(['', '-a', 'A', 'a.b', 'a/b', 'a b', 'a\n', 'ä', '..', 'a'.repeat(64)])('%j is none', (text) => {
    for (const make of [nodeId, regionId, branchName])
      expect(() => make(text)).toThrow('1 to 63 of a-z, 0-9 and -');
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY])('%d is no LSN', (value) => {
    expect(() => lsn(value)).toThrow('an LSN is');
  });

  it('epochs and groups are 32 bits, pages count from 1', () => {
    for (const make of [epoch, pgId]) {
      expect(make(0xffff_ffff)).toBe(0xffff_ffff);
      expect(() => make(2 ** 32)).toThrow('uint32');
      expect(() => make(-1)).toThrow('uint32');
    }
    expect(pageNo(0xffff_fffe)).toBe(0xffff_fffe);
    for (const value of [0, 0xffff_ffff, 1.5]) expect(() => pageNo(value)).toThrow('counts from 1');
  });
});
