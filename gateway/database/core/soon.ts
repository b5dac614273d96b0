/**
 * Whether this gateway may be about to write, so that the engine that writes is started meanwhile. The target of a move is told of it
 * before the old writer has drained: what is started then is there when it takes over, and no part of the pause. Pure.
 */
import type { ControlRecord, WriterPhase } from '../../../regions/core.ts';
import type { RegionId } from '../../../storage/core.ts';

/** @param record the newest one that was seen. @param region of this gateway. */
export function mayWriteSoon(
  phase: WriterPhase,
  record: Pick<ControlRecord, 'move'> | null,
  region: RegionId,
): boolean {
  switch (phase) {
    case 'claiming':
    case 'recovering':
      return true;
    case 'reading':
      return record?.move?.to === region;
    default:
      return false;
  }
}
