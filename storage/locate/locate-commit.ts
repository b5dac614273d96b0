/** A node's answer to `locate`: reads what the search wants out of its own log, a few entries of the index at most per reign. */
import { type EpochTree, endOfTime } from '../history/epoch-tree.ts';
import { describeFloor } from '../history/floor.ts';
import type { Segment } from '../log/core/segment.ts';
import type { FrameReader } from '../log/frame-reader.ts';
import { checkedFrames } from '../redo/frame.ts';
import { genesisEpoch, zeroLsn } from '../redo/ids.ts';
import type { LocateRequest, StorageReply } from '../wire/core/messages.ts';
import { type CommitPoint, CommitSearch, commitPointsIn } from './core/commit-search.ts';

export interface LocateParts {
  readonly tree: EpochTree;
  readonly segment: Segment;
  readonly frames: Pick<FrameReader, 'read'>;
}

/** Answers where on a path a time or an LSN lies. Never rejects; what this node cannot say it refuses, with its floor where that is why. */
export async function locateCommit(parts: LocateParts, asked: LocateRequest): Promise<StorageReply> {
  const { tree, segment, frames } = parts;
  const isOpen = asked.upTo === endOfTime && tree.has(asked.head);
  const request = isOpen ? { ...asked, upTo: segment.volumeEnd(asked.head) } : asked;
  const unready = whyNot(parts, request);
  if (unready !== null) return unready;
  const search = new CommitSearch(tree, segment, request);
  for (let wanted = search.wanted; wanted !== null; wanted = search.wanted) {
    const read = await frames.read([wanted]);
    if (read.kind === 'bad') return refused('DISK_FAILED', read.reason);
    search.heard(commitPointsIn(read.frames.flatMap(checkedFrames)));
  }
  return answerOf(search.found, segment, request);
}

function whyNot({ tree, segment }: LocateParts, { head, upTo }: LocateRequest): StorageReply | null {
  if (!tree.has(head)) return refused('UNKNOWN_EPOCH', `epoch ${head} is not in this node's tree`);
  if (segment.floorOn(head) === null || upTo < (segment.floorOn(head) ?? zeroLsn))
    return belowFloor(segment, `LSN ${upTo} of epoch ${head}`);
  const end = segment.volumeEnd(head);
  if (end >= upTo) return null;
  return refused('NOT_COMPLETE', `LSN ${upTo} is above ${end}, up to where this node is complete`);
}

function answerOf(found: CommitPoint | null, segment: Segment, request: LocateRequest): StorageReply {
  const floor = segment.floorOn(request.head) ?? zeroLsn;
  const { readableFrom } = segment;
  // The floor is a consistency point itself, of which the log may say nothing any more: no log, no time.
  const isKept = found !== null && found.lsn >= floor;
  if (!isKept && request.atUs !== null && floor > zeroLsn) return belowFloor(segment, 'a time so long ago');
  const lsn = isKept ? found.lsn : floor;
  if (lsn < readableFrom)
    return refused(
      'NOT_COMPLETE',
      `this node was refilled from images and tells nothing below ${readableFrom}`,
    );
  return { kind: 'located', lsn, commitTimeUs: isKept ? found.commitTimeUs : null };
}

function refused(code: 'UNKNOWN_EPOCH' | 'NOT_COMPLETE' | 'DISK_FAILED', reason: string): StorageReply {
  return { kind: 'refused', code, reason, sealed: genesisEpoch };
}

function belowFloor({ floor }: Segment, what: string): StorageReply {
  const reason = `${what} is not kept here: the floor of this node is ${describeFloor(floor)}`;
  return { kind: 'refused', code: 'BELOW_FLOOR', reason, sealed: genesisEpoch, floor };
}
