/** The durable end of a path, from what at least three copies say they hold of it. Pure arithmetic; recovery asks for it. */
import { ascending, type Lsn, lsn, maxLsn, type PgId, pgId, zeroLsn } from '../../redo/ids.ts';
import { quorumLimits } from '../../redo/limits.ts';
import type { SurveyedReply } from '../../wire/core/messages.ts';
import { recoverablePgcl } from './quorum.ts';

type Answer = Pick<SurveyedReply, 'volumeEnd' | 'scls' | 'vdl' | 'chain'>;

/**
 * VDL from the answers of at least three copies: PGCL of each group, then VCL along the volume chain, then the
 * highest CPL at or below it (Aurora, SIGMOD 2018 section 2.4).
 * @param which `any`: whatever one copy holds counts, so that nothing acknowledged is overlooked.
 *   `acknowledgeable`: only what four copies can have held, the silent ones included, and those that vouch for nothing of the
 *   path any more, since they were refilled on another (S18).
 */
export function durableEnd(answers: readonly Answer[], which: 'any' | 'acknowledgeable'): Lsn {
  const floor = answers.reduce((highest, answer) => maxLsn(highest, answer.vdl), zeroLsn);
  const byBase = new Map<number, { readonly end: number; readonly pg: PgId; readonly cpl: number }>();
  for (const { chain } of answers) {
    for (const [base, end, pg, cpl] of chain) {
      byBase.set(base <= floor && end > floor ? floor : base, { end, pg: pgId(pg), cpl });
    }
  }
  const isSilent = ({ volumeEnd }: Answer): boolean => volumeEnd === zeroLsn && floor > zeroLsn;
  const spoken = which === 'any' ? answers : answers.filter((answer) => !isSilent(answer));
  const complete = new Map<PgId, Lsn>();
  let vcl: number = floor;
  let vdl: number = floor;
  for (let frame = byBase.get(vcl); frame !== undefined; frame = byBase.get(vcl)) {
    const pgEnd = complete.get(frame.pg) ?? completeEnd(spoken, frame.pg, which);
    complete.set(frame.pg, pgEnd);
    if (frame.end > pgEnd) break;
    vcl = frame.end;
    if (frame.cpl > vdl) vdl = frame.cpl;
  }
  return lsn(vdl);
}

/** Highest LSN of a group that enough answers are complete to; one without records of it is complete to its volume end. */
function completeEnd(answers: readonly Answer[], pg: PgId, which: 'any' | 'acknowledgeable'): Lsn {
  const ends = answers.map((answer) => {
    const scl = answer.scls.find(([candidate]) => candidate === pg)?.[1] ?? zeroLsn;
    return maxLsn(answer.volumeEnd, scl);
  });
  if (which === 'any') return recoverablePgcl(ends);
  const silent = quorumLimits.copies - answers.length;
  const needed = Math.max(1, quorumLimits.writeQuorum - silent);
  return [...ends].sort(ascending).at(-needed) ?? zeroLsn;
}
