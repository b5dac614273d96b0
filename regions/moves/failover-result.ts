/** What a failover came to: how long writes were away, as the operator and as the clients saw it, and what is lost. */
import { type Epoch, type Lsn, lsn, pause, type RegionId, type Runtime } from '../../storage/index.ts';
import type { FailoverVerdict } from '../control/core/survivors.ts';
import type { BranchLack } from './core/branch-lacks.ts';
import type { MoveOutcome } from './core/move-machine.ts';
import type { Operation } from './core/operations.ts';
import { rtoFromLastWriteMs } from './core/rto.ts';

export interface FailoverSight {
  /** Where a reign begins on this region's path; null when that is not known. */
  readonly forkOf: (epoch: Epoch) => Lsn | null;
  /** When the last commit before a fork was made, by whose clock that is, and how far that is ahead of ours. */
  readonly lastCommit: (
    reign: Epoch,
    forkLsn: Lsn,
  ) => Promise<{ readonly atUs: number; readonly aheadUs: number } | null>;
  /** Of which branches a region was heard to have more than this one. */
  readonly lackedOf: (region: RegionId) => readonly BranchLack[];
  readonly runtime: Runtime;
}

type Result = NonNullable<Operation['result']>;

/** After the new writer writes, its agent reads the path within this time; until then where it forked is an estimate. */
const forkKnownMs = 2_000;
const lookMs = 20;

/** @param from the region that is left. */
export async function failoverResult(
  verdict: FailoverVerdict | null,
  { epoch, tookMs }: Extract<MoveOutcome, { kind: 'done' }>,
  from: RegionId,
  sight: FailoverSight,
): Promise<Result> {
  const backAtUs = sight.runtime.wallUs();
  const branches = [...sight.lackedOf(from)];
  const ofMain = await lossOf(verdict, epoch, sight);
  const loss = { ...ofMain, ...(branches.length > 0 && { branches }) };
  const last = await sight.lastCommit(epoch, lsn(loss.forkLsn));
  const fromLastWrite =
    last === null ? {} : { rtoFromLastWriteMs: rtoFromLastWriteMs(last.atUs, last.aheadUs, backAtUs) };
  return { epoch, rtoMs: tookMs, ...fromLastWrite, loss };
}

/** Where history goes on, by the path once it is known, and what had been heard of the region that is left. */
async function lossOf(
  verdict: FailoverVerdict | null,
  reign: Epoch,
  { runtime, forkOf }: FailoverSight,
): Promise<NonNullable<Result['loss']>> {
  const deadline = runtime.nowMs() + forkKnownMs;
  let fork = forkOf(reign);
  while (fork === null && runtime.nowMs() < deadline) {
    await pause(runtime, lookMs);
    fork = forkOf(reign);
  }
  const judged = verdict?.kind === 'possible' ? verdict : null;
  const forkLsn = fork ?? judged?.vdl ?? 0;
  const lastHeardVdl = judged?.primaryVdl ?? null;
  const atRiskBytes = lastHeardVdl === null ? null : Math.max(0, lastHeardVdl - forkLsn);
  return { forkLsn, lastHeardVdl, atRiskBytes, exact: false };
}
