import { describe, expect, it } from 'vitest';
import { WriterProof } from '../../../gateway/reign/writer-proof.ts';
import type { NodeAnswer } from '../../../storage/client/node-links.ts';
import { configured } from '../../../storage/members/core/membership.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { epoch, lsn } from '../../../storage/redo/ids.ts';
import type { StorageRequest } from '../../../storage/wire/core/messages.ts';
import { eventually, nodeIds } from '../../storage/region-harness.ts';

const vote: NodeAnswer = { kind: 'acked', head: epoch(3), scls: [] };
const sealed: NodeAnswer = { kind: 'refused', code: 'SEALED', reason: 'sealed', sealed: epoch(4) };
const silence: NodeAnswer = { kind: 'unanswered' };

/** Six nodes whose answers a test gives one by one. */
class Bench {
  readonly asked: { readonly request: StorageRequest; readonly done: (answer: NodeAnswer) => void }[] = [];
  readonly fencedBy: number[] = [];
  readonly proof = new WriterProof({
    region: {
      membership: configured(nodeIds.map((node) => ({ node, az: 'a', address: `${node}:1` }))),
      ask: (_node, request, _ms, done) => void this.asked.push({ request, done }),
    },
    epoch: epoch(3),
    vdl: () => lsn(70),
    runtime: machine,
    onFenced: (by) => void this.fencedBy.push(by),
  });
  proved = 0;

  prove(): void {
    this.proof.prove(() => {
      this.proved += 1;
    });
  }

  answer(...answers: readonly NodeAnswer[]): void {
    for (const given of answers) this.asked.shift()?.done(given);
  }
}

describe('the proof that a reign could still write (G36)', () => {
  it('takes four votes upon a question without redo, under the authority of the reign', () => {
    const bench = new Bench();
    bench.prove();
    expect(bench.asked[0]?.request).toEqual({
      kind: 'append',
      authority: 3,
      durable: { head: 3, vdl: 70 },
      lowWater: 0,
      frames: new Uint8Array(),
    });
    bench.answer(vote, silence, vote, silence, vote);
    expect(bench.proved).toBe(0);
    bench.answer(vote);
    expect(bench.proved).toBe(1);
  });

  it('asks anew for whoever came after the questions had left, once for all of them', () => {
    const bench = new Bench();
    bench.prove();
    bench.prove();
    bench.prove();
    bench.answer(vote, vote, vote, vote, vote, vote);
    expect(bench.proved).toBe(1);
    expect(bench.asked).toHaveLength(6);
    bench.answer(vote, vote, vote, vote);
    expect(bench.proved).toBe(3);
  });

  it('never comes from three votes: it asks again until there are four, or the reign is over', async () => {
    const bench = new Bench();
    bench.prove();
    bench.answer(vote, vote, vote, silence, silence, silence);
    expect(bench.proved).toBe(0);
    await eventually('it asks again', () => bench.asked.length === 6);
    bench.answer(vote, vote, vote, vote);
    expect(bench.proved).toBe(1);
    bench.prove();
    bench.proof.close();
    expect(bench.proved).toBe(2);
  });

  it('tells that the reign is fenced when a node is sealed against it', () => {
    const bench = new Bench();
    bench.prove();
    bench.answer(vote, vote, sealed);
    expect([bench.fencedBy, bench.proved]).toEqual([[4], 0]);
  });
});
