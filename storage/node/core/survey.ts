/** What a node can say of a path: up to where it is complete, what it was told is durable, and what it holds above. */
import type { EpochTree } from '../../history/epoch-tree.ts';
import type { Segment } from '../../log/core/segment.ts';
import { type Epoch, type Lsn, minLsn, zeroLsn } from '../../redo/ids.ts';
import type { SurveyedReply, SurveyFrame } from '../../wire/core/messages.ts';

/** Answers a survey; see `SurveyedReply`. @param vdl what is known to be durable on the path. */
export function surveyOf(tree: EpochTree, segment: Segment, vdl: Lsn, head: Epoch): SurveyedReply {
  const chain: SurveyFrame[] = [];
  for (const step of tree.path(head)) {
    if (step.until <= vdl) continue;
    for (const frame of segment.framesAbove(step.epoch, vdl)) {
      if (frame.base >= step.until) break;
      // Where the path leaves an epoch is a consistency point by itself: forks are made at VDLs.
      const cpl = frame.lastCpl ?? -1;
      chain.push([frame.base, minLsn(frame.end, step.until), frame.pg, Math.min(cpl, step.until)]);
    }
  }
  return {
    kind: 'surveyed',
    volumeEnd: segment.volumeEnd(head),
    scls: segment.scls(head),
    vdl,
    chain,
    ...(segment.floor.lsn > zeroLsn && { floor: segment.floor }),
    ...(segment.readableFrom > zeroLsn && { readableFrom: segment.readableFrom }),
  };
}
