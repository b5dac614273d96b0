/** A system under test, as the scenarios use it. */

import type { Protocol, Target } from '../load/plan.ts';
import { initialValue, rowCount, type WorkloadName } from '../load/workload.ts';
import type { Roles } from '../measure/accounting.ts';
import { connects } from '../wire/index.ts';
import type { Workbench } from '../workbench.ts';

export type PeerName = 'postgres' | 'mariadb' | 'etcd' | 'rqlite';
export type SystemName = 'sextant' | PeerName | 'baseline';

export interface RunningSystem {
  readonly name: SystemName;
  readonly title: string;
  /** What has reached a disk, and where, before a client hears of its commit. */
  readonly durability: string;
  readonly version: string;
  readonly targets: Readonly<Partial<Record<Protocol, Target>>>;
  readonly workloads: readonly WorkloadName[];
  /** How many full copies of the data it keeps. */
  readonly copies: number;
  roles(): Roles;
  /** Makes tables and rows. */
  prepare(): Promise<void>;
  /** Sum of `v` over `bench`, which is how many UPDATEs have been committed; null when it cannot be asked. */
  updates(): Promise<number | null>;
  /** Counters of its own that tell bytes and calls; empty when there are none. */
  counters(): Promise<Readonly<Record<string, number>>>;
  stop(): Promise<void>;
}

/** A system that is not installed: what is missing, in words that lead to having it. */
export interface Missing {
  readonly missing: string;
}

export type StartSystem = (bench: Workbench) => Promise<RunningSystem | Missing>;

/** Runs statements one after the other over a connection of their own. @returns the first value of the last one. */
export async function querySql(target: Target, statements: readonly string[]): Promise<string | null> {
  const wire = await connects[target.protocol]({ ...target, workload: null, streams: 1 });
  try {
    let value: string | null = null;
    for (const sql of statements) value = await wire.query(sql);
    return value;
  } finally {
    wire.close();
  }
}

/** UPDATEs of the workload that have been committed: each adds one. */
export async function countUpdates(target: Target): Promise<number> {
  return Number(await querySql(target, ['SELECT sum(v) FROM bench'])) - rowCount * initialValue;
}
