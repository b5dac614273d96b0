/** One storage node's machine in a simulation: what its disk holds, and what is under way there. */
import type { Floor } from '../../../storage/history/floor.ts';
import type { StorageNode } from '../../../storage/node/core/node.ts';
import { type Caller, emptyNodeState, type NodeState } from '../../../storage/node/core/node-events.ts';
import type { ReceivedFrame } from '../../../storage/redo/frame.ts';
import { lsn, type NodeId } from '../../../storage/redo/ids.ts';
import { decodeRecords } from '../../../storage/redo/record.ts';
import type { Holdings, LogFileFacts } from '../../../storage/retention/core/retention.ts';
import type { StorageReply } from '../../../storage/wire/core/messages.ts';

export interface Machine {
  readonly id: NodeId;
  core: StorageNode | null;
  /** Counts lives; what was under way in an earlier one is lost. */
  life: number;
  /** Frames in the order in which they were written; null where the file was dropped. */
  log: (Uint8Array | null)[];
  /** Places at which it holds durable images, oldest first: they outlive its process. */
  images: readonly Floor[];
  /** Frames on disk, by `epoch/base`. */
  onDisk: Map<string, Uint8Array>;
  state: NodeState;
  /** When the log and the state file have written all they were given: two files, two queues. */
  freeAtMs: { log: number; state: number };
  /** Frames on their way to the log, oldest write first. */
  writing: (readonly ReceivedFrame[])[];
  answers: Map<Caller, (reply: StorageReply) => void>;
  nextCaller: number;
}

/** What a machine's disk holds besides frames, as its shell would say. */
export function holdingsOf({ log, images }: Machine, fileFrames: number): Holdings {
  const files: LogFileFacts[] = [];
  for (let first = 0; first < log.length; first += fileFrames) {
    const kept = log.slice(first, first + fileFrames).flatMap((bytes) => bytes ?? []);
    if (kept.length === 0) continue;
    files.push({
      number: 1 + first / fileFrames,
      bytes: kept.reduce((sum, { length }) => sum + length, 0),
      isRolled: first + fileFrames <= log.length,
      lastCommitUs: kept.reduce<number | null>((last, bytes) => lastCommitIn(bytes) ?? last, null),
    });
  }
  return { files, boundaries: images, imageBytes: images.length };
}

function lastCommitIn(frame: Uint8Array): number | null {
  const decoded = decodeRecords(frame.subarray(36), lsn(0));
  const commit =
    decoded.kind === 'records' ? decoded.records.findLast(({ kind }) => kind === 'commit') : null;
  return commit?.kind === 'commit' ? commit.commitTimeUs : null;
}

export function newMachine(id: NodeId): Machine {
  return {
    id,
    core: null,
    life: 0,
    log: [],
    images: [],
    onDisk: new Map(),
    state: emptyNodeState,
    freeAtMs: { log: 0, state: 0 },
    writing: [],
    answers: new Map(),
    nextCaller: 1,
  };
}
