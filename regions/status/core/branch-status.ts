/** The branches as the control record names them, and how far each is by what regions last said. Pure. */
import { mainBranch } from '../../../storage/core.ts';
import type { BranchStatus } from '../../branches/core/branch-request.ts';
import { type Branch, branchesOf, saidOf } from '../../control/core/branch-list.ts';
import type { ControlRecord } from '../../control/core/control-record.ts';
import type { RegionReport } from './report.ts';

/** Of each branch beside `main`, oldest first. @param reports the last one of every region that was ever heard. */
export function branchStatuses(
  record: ControlRecord | null,
  reports: readonly RegionReport[],
): readonly BranchStatus[] {
  return branchesOf(record).map((branch) => statusOf(branch, record?.primary ?? '', reports));
}

/** `main` in the same form. @param regions as `GET /v1/status` tells them. */
export function mainStatus(
  record: ControlRecord | null,
  regions: readonly {
    readonly name: string;
    readonly epoch: number;
    readonly vdl: number | null;
    readonly lagBytes: number | null;
    readonly lagMs: number | null;
  }[],
): BranchStatus {
  return {
    name: mainBranch,
    epoch: record?.epoch ?? 0,
    lsn: regions.find(({ name }) => name === record?.primary)?.vdl ?? null,
    parent: null,
    forkLsn: null,
    createdAtMs: null,
    regions: regions.flatMap(({ name: region, epoch, vdl, lagBytes, lagMs }) =>
      vdl === null ? [] : [{ region, epoch, lsn: vdl, lagBytes, lagMs }],
    ),
  };
}

function statusOf(branch: Branch, primary: string, reports: readonly RegionReport[]): BranchStatus {
  const { name, epoch, parent, forkLsn, createdAtMs } = branch;
  const told = reports.flatMap(({ region, branches = [] }) => {
    const found = saidOf(branches, branch);
    return found === undefined ? [] : [{ ...found, region }];
  });
  const lags = told.find(({ region }) => region === primary);
  return {
    name,
    epoch,
    lsn: lags?.vdl ?? null,
    parent,
    forkLsn,
    createdAtMs,
    regions: told.map(({ region, epoch: head, vdl: lsn }) => {
      const lag = lags?.lag.find((entry) => entry.region === region);
      const isPrimary = region === primary;
      return {
        region,
        epoch: head,
        lsn,
        lagBytes: isPrimary ? 0 : (lag?.lagBytes ?? null),
        lagMs: isPrimary ? 0 : (lag?.lagMs ?? null),
      };
    }),
  };
}
