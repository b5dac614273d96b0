/** What a drill showed, in sentences for somebody who reads no further: what was done, what it cost, and what did not hold. Pure. */
import { drillPurpose } from '../drill-kinds.ts';
import type { DrillReport } from '../drill-report.ts';
import { drillTable } from '../ledger.ts';
import { duration } from './report-charts.ts';

/** What was rehearsed, and where. */
export function rehearsed({ kind, region, primaryBefore }: DrillReport): string {
  if (kind === 'switchover')
    return `Rehearsed: move the primary from ${primaryBefore} to ${region} and back; no request may fail.`;
  const role = region === primaryBefore ? 'the primary' : 'a secondary';
  return `Rehearsed at ${region}, ${role}: ${drillPurpose[kind]}.`;
}

/** What came of it. Of a drill that ended before its fault, only that. */
export function outcome(report: DrillReport): readonly string[] {
  const struck = report.phases.some(({ name }) => name === 'fault');
  if (!struck) return ['Nothing was broken: the drill ended before its fault.'];
  return [service(report), data(report), ...wayBack(report), ...evidence(report)];
}

/** Names of what did not hold, objectives first. */
export const notHeld = ({ objectives, checks }: DrillReport): readonly string[] => [
  ...objectives.filter(({ held }) => !held).map(({ name, limit }) => `${name} at most ${limit}`),
  ...checks.filter(({ held }) => !held).map(({ name }) => name),
];

/** Whether the recovery time is from the fault, since a region was gone that wrote; else it is the longest pause after it. */
export const countsFromFault = ({ kind, rtoPhases }: DrillReport): boolean =>
  kind !== 'switchover' && rtoPhases.length > 0;

function service(report: DrillReport): string {
  const { rtoMs, writeStallMs, failures } = report;
  if (rtoMs === null)
    return report.interrupted
      ? 'The drill was stopped before writes were back.'
      : 'Writes did not come back.';
  const failed = failures.length === 0 ? ' No write failed.' : '';
  return countsFromFault(report)
    ? `Writes were acknowledged again ${duration(rtoMs)} after the fault.${failed}`
    : `The longest time without an acknowledged write was ${duration(writeStallMs)}.${failed}`;
}

function data({ dataCompared, lostWrites, lost, regionsEqual, acknowledgedWrites }: DrillReport): string {
  if (!dataCompared)
    return `Whether any of ${acknowledgedWrites} acknowledged writes was lost is not known: the data could not be compared.`;
  const unnamed = lost.filter(({ reported }) => !reported).length;
  const equal = regionsEqual
    ? 'every region shows the same rows'
    : 'the regions do not show the same rows, or one could not be read';
  if (lostWrites === 0) return `Of ${acknowledgedWrites} acknowledged writes none was lost, and ${equal}.`;
  const named = unnamed === 0 ? 'each is named below' : `${unnamed} of them in no loss report`;
  return `Of ${acknowledgedWrites} acknowledged writes ${lostWrites} ${lostWrites === 1 ? 'was' : 'were'} lost, ${named}; ${equal}.`;
}

function wayBack({
  failbackMs,
  failbackStallMs,
  primaryBefore,
  primaryAfter,
}: DrillReport): readonly string[] {
  if (failbackMs !== null)
    return [
      `The primary moved back to ${primaryBefore} within ${duration(failbackMs)}, for which writes paused ${duration(failbackStallMs)}.`,
    ];
  return primaryAfter === primaryBefore
    ? []
    : [`The primary is ${primaryAfter ?? 'unknown'} now, and was ${primaryBefore} before.`];
}

const evidence = ({ id, passed, interrupted }: DrillReport): readonly string[] =>
  passed || interrupted ? [] : [`Its rows are kept as evidence in the table ${drillTable(id)}.`];
