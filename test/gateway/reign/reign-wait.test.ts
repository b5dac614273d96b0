import { describe, expect, it } from 'vitest';
import { Reign, type Release } from '../../../gateway/reign/reign.ts';
import type { NodeWatcher } from '../../../storage/client/node-links.ts';
import { configured } from '../../../storage/members/core/membership.ts';
import type { Runtime } from '../../../storage/process/runtime.ts';
import { epoch, lsn, type NodeId, pgId } from '../../../storage/redo/ids.ts';
import { encodeMtr } from '../../../storage/redo/record.ts';
import { nodeIds } from '../../storage/region-harness.ts';
import { commitAt, delta, fork } from '../../storage/samples.ts';

const giveUpMs = 10_000;

/** A reign over six nodes that acknowledge what they are sent when the test lets them, on a clock that the test moves. */
class Bench {
  nowMs = 1_000;
  mayAcknowledge = true;
  released: Release | null = null;
  private readonly asked: (() => void)[] = [];
  private readonly turns: (() => void)[] = [];
  private watcher: NodeWatcher | null = null;
  private end = lsn(100);
  readonly reign: Reign;

  constructor(rpoMs: number | null) {
    const never = { stop: () => undefined };
    const runtime: Runtime = {
      nowMs: () => this.nowMs,
      wallUs: () => this.nowMs * 1_000,
      every: () => never,
      after: () => never,
      soon: (run) => void this.turns.push(run),
      turn: (run) => void this.turns.push(run),
      random: () => 0.5,
    };
    this.reign = new Reign({
      region: {
        membership: configured(nodeIds.map((node) => ({ node, az: 'a', address: `${node}:1` }))),
        nodes: nodeIds,
        azOf: () => 'a',
        watch: (watcher) => {
          this.watcher = watcher;
          return () => undefined;
        },
        ask: (_node, _request, _ms, done) =>
          void this.asked.push(() => done({ kind: 'acked', head: epoch(2), scls: [[pgId(0), this.end]] })),
        notify: () => undefined,
      },
      start: {
        epoch: epoch(2),
        forks: [fork(1, 0, 0), fork(2, 1, 100)],
        vdl: lsn(100),
        proven: lsn(100),
        rpoMs,
        port: {
          mayAcknowledge: () => this.mayAcknowledge,
          lapsed: () => undefined,
          fenced: () => undefined,
          quorumLost: () => undefined,
          engineLost: () => undefined,
        },
      },
      engines: {
        isMoreComing: () => false,
        framed: () => undefined,
        committed: () => undefined,
        durable: () => undefined,
        freed: () => undefined,
        appended: () => undefined,
      },
      recordFacts: false,
      place: { runtime },
    });
    for (const node of nodeIds) this.up(node);
    this.answer();
  }

  private up(node: NodeId): void {
    this.watcher?.onNodeUp(node);
  }

  /** The nodes acknowledge everything that was committed. */
  answer(): void {
    while (this.turns.length + this.asked.length > 0) {
      for (const run of this.turns.splice(0)) run();
      for (const run of this.asked.splice(0)) run();
    }
  }

  /** A commit whose answer waits. */
  commit(): void {
    const mtr = encodeMtr([delta(1, 'x')], [commitAt(1)], 2 ** 20);
    this.end = lsn(this.end + mtr.byteLength);
    this.reign.commit({ mtr, lsn: this.end, commits: [] });
    this.reign.settle(this.end, (release) => {
      this.released = release;
    });
  }

  /** @param suspendedMs how long the lease has been suspended. */
  wait(ms: number, suspendedMs: number | null): void {
    this.nowMs += ms;
    this.reign.giveUp(giveUpMs, suspendedMs);
  }
}

describe('an answer to a commit that takes long', () => {
  it('is not given up when the lease is suspended for a moment, however long the commit has taken', () => {
    const bench = new Bench(null);
    bench.commit();
    bench.wait(60_000, null);
    bench.mayAcknowledge = false;
    bench.wait(100, 100);
    bench.wait(giveUpMs - 200, giveUpMs - 100);
    expect(bench.released).toBeNull();
    bench.mayAcknowledge = true;
    bench.answer();
    expect(bench.released).toBe('free');
  });

  it('is given up when the lease has been suspended for as long as answers may wait', () => {
    const bench = new Bench(null);
    bench.commit();
    bench.mayAcknowledge = false;
    bench.wait(giveUpMs, giveUpMs);
    expect(bench.released).toBe('over');
  });

  it('waits for other regions from when it is durable here on', () => {
    const bench = new Bench(0);
    bench.commit();
    bench.wait(60_000, null);
    bench.answer();
    bench.wait(100, null);
    bench.wait(giveUpMs - 100, null);
    expect(bench.released).toBeNull();
    bench.wait(100, null);
    expect(bench.released).toBe('held');
  });
});
