/** Checks frames as they came: their checksums, and what those cannot tell, that records are whole and epochs known. */
import type { EpochTree } from '../../history/epoch-tree.ts';
import { framePayload, type ReceivedFrame, splitFrames } from '../../redo/frame.ts';
import { genesisEpoch, type Lsn } from '../../redo/ids.ts';
import { nodeLimits } from '../../redo/limits.ts';
import { lastCplIn } from '../../redo/record-cursor.ts';
import type { RefusalCode } from '../../wire/core/messages.ts';

export type FramesRead =
  /** `lastCpls`: LSN of the last commit in each frame. */
  | {
      readonly kind: 'good';
      readonly frames: readonly ReceivedFrame[];
      readonly lastCpls: readonly (Lsn | null)[];
    }
  | { readonly kind: 'bad'; readonly code: RefusalCode; readonly reason: string };

/** @param bytes frames back to back. @param waiting bytes of frames that wait for the disk already. */
export function readFrames(tree: EpochTree, bytes: Uint8Array, waiting = 0): FramesRead {
  const bad = (code: RefusalCode, reason: string): FramesRead => ({ kind: 'bad', code, reason });
  const split = splitFrames(bytes);
  if (split.kind === 'bad') return bad('BAD_FRAME', split.reason);
  const { frames } = split;
  const lastCpls: (Lsn | null)[] = [];
  for (const { header, bytes: frame } of frames) {
    const { epoch, base } = header;
    if (!tree.has(epoch) || epoch === genesisEpoch)
      return bad('UNKNOWN_EPOCH', `epoch ${epoch} is not in this node's tree`);
    if (base < tree.startOf(epoch))
      return bad('BAD_FRAME', `a frame of epoch ${epoch} starts at ${base}, before its fork`);
    const lastCpl = lastCplIn(framePayload(frame), base);
    if (lastCpl === 'malformed') return bad('BAD_FRAME', 'the payload is not a whole number of records');
    lastCpls.push(lastCpl);
  }
  if (waiting + bytes.length > nodeLimits.pendingBytesMax)
    return bad('OVERLOADED', `${nodeLimits.pendingBytesMax} bytes wait for the disk already`);
  return { kind: 'good', frames, lastCpls };
}
