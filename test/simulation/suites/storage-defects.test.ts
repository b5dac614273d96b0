/** The judges object to what is broken on purpose in storage nodes, recoveries and gates. */
import { describe, expect, it } from 'vitest';
import {
  blackouts,
  foldedPages,
  interruptedWrites,
  largeTransactions,
  rottingLogs,
  slowLargeTransactions,
} from '../deployment/scenarios.ts';
import { objectors, slow } from './running.ts';

describe('the judges object when', { retry: 0 }, () => {
  it('a node acknowledges before its sync', slow, async () => {
    const planted = { defects: ['ack-before-sync'], scenario: blackouts, seeds: 10, first: 5 } as const;
    expect(await objectors(planted)).not.toEqual([]);
  });

  it('answers pass the gate before what they saw is durable', slow, async () => {
    const planted = { defects: ['answers-early'], scenario: interruptedWrites, seeds: 10, first: 1 } as const;
    expect(await objectors(planted)).toContain('durability');
  });

  it('a node forgets what its state file was given, seals and forks among it', slow, async () => {
    const planted = { defects: ['state-forgotten'], scenario: interruptedWrites, seeds: 10 } as const;
    expect(await objectors(planted)).not.toEqual([]);
  });

  it('images of pages are those of long ago', slow, async () => {
    const planted = { defects: ['images-forgotten'], scenario: foldedPages, seeds: 10, first: 2 } as const;
    expect(await objectors(planted)).toContain('agreement');
  });

  it('a recovery does not copy what it builds on to four nodes', slow, async () => {
    const planted = {
      defects: ['skip-replication'],
      scenario: interruptedWrites,
      seeds: 10,
      first: 1,
    } as const;
    expect(await objectors(planted)).toContain('copies');
  });

  it('no disk is read again, so that what has rotted stays away', slow, async () => {
    const planted = {
      defects: ['never-scrubs'],
      scenario: rottingLogs,
      seeds: 6,
      verdict: 'liveness',
    } as const;
    expect(await objectors(planted)).toContain('progress');
  });

  it('the index of frames joins over one that is missing, which passes for held', slow, async () => {
    const planted = {
      defects: ['joins-over-gaps'],
      scenario: rottingLogs,
      seeds: 6,
      verdict: 'liveness',
    } as const;
    expect(await objectors(planted)).toContain('progress');
  });

  it('a write is applied twice', slow, async () => {
    expect(await objectors({ defects: ['apply-twice'], scenario: blackouts, seeds: 3 })).toContain(
      'durability',
    );
  });

  it(
    'credit waits for the commit, so that a transaction larger than the window never arrives (r01)',
    slow,
    async () => {
      const planted = { defects: ['credit-by-vdl'], scenario: largeTransactions, seeds: 3 } as const;
      expect(await objectors({ ...planted, verdict: 'liveness' })).toContain('convergence');
    },
  );

  it('a writer gives up on a record that is old, although four nodes get on (r17)', slow, async () => {
    const planted = { defects: ['age-ends-reign'], scenario: slowLargeTransactions, seeds: 3 } as const;
    expect(await objectors({ ...planted, verdict: 'liveness' })).toContain('quorum');
  });
});
