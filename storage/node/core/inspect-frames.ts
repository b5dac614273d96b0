/** Checks what a frame's checksum cannot: that its records are whole and its epoch is known. */
import type { EpochTree } from '../../history/epoch-tree.ts';
import { framePayload, type ReceivedFrame } from '../../redo/frame.ts';
import { genesisEpoch, type Lsn } from '../../redo/ids.ts';
import { lastCplIn } from '../../redo/record-cursor.ts';
import type { RefusalCode } from '../../wire/core/messages.ts';

export type InspectedFrames =
  /** LSN of the last commit in each frame. */
  | { readonly kind: 'good'; readonly lastCpls: readonly (Lsn | null)[] }
  | { readonly kind: 'bad'; readonly code: RefusalCode; readonly reason: string };

export function inspectFrames(tree: EpochTree, frames: readonly ReceivedFrame[]): InspectedFrames {
  const bad = (code: RefusalCode, reason: string): InspectedFrames => ({ kind: 'bad', code, reason });
  const lastCpls: (Lsn | null)[] = [];
  for (const { header, bytes } of frames) {
    const { epoch, base } = header;
    if (!tree.has(epoch) || epoch === genesisEpoch)
      return bad('UNKNOWN_EPOCH', `epoch ${epoch} is not in this node's tree`);
    if (base < tree.startOf(epoch))
      return bad('BAD_FRAME', `a frame of epoch ${epoch} starts at ${base}, before its fork`);
    const lastCpl = lastCplIn(framePayload(bytes), base);
    if (lastCpl === 'malformed') return bad('BAD_FRAME', 'the payload is not a whole number of records');
    lastCpls.push(lastCpl);
  }
  return { kind: 'good', lastCpls };
}
