/** Small values the tests of the storage cores are built from. */

import type { Fork } from '../../storage/history/epoch-tree.ts';
import type { HeldFrame } from '../../storage/log/core/held-frames.ts';
import { configured, type Member, type Membership } from '../../storage/members/core/membership.ts';
import { encodeFrame, parseFrame } from '../../storage/redo/frame.ts';
import {
  type Epoch,
  epoch,
  type Lsn,
  lsn,
  mainBranch,
  type NodeId,
  nodeId,
  pageNo,
  pgId,
} from '../../storage/redo/ids.ts';
import {
  type Commit,
  decodeRecords,
  encodeRecord,
  type PageChange,
  type RedoRecord,
  recordBytes,
} from '../../storage/redo/record.ts';

export const sixNodes: readonly NodeId[] = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'].map(nodeId);

export const member = (node: NodeId): Member => ({ node, az: 'a', address: `${node}:1` });
export const sixMembers: Membership = configured(sixNodes.map(member));

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

export function fork(of: number, parent: number, at: number, branch = mainBranch): Fork {
  return { epoch: epoch(of), branch, parent: epoch(parent), forkLsn: lsn(at) };
}

export const commitAt = (commitTimeUs: number): Commit => ({ kind: 'commit', commitTimeUs, trace: null });

export function delta(page: number, text: string): PageChange {
  return { kind: 'pageDelta', page: pageNo(page), runs: [{ offset: 0, bytes: Buffer.from(text) }] };
}

export function encoded(record: RedoRecord): Uint8Array {
  const bytes = new Uint8Array(recordBytes(record));
  encodeRecord(record, bytes, 0);
  return bytes;
}

/** A commit record, the smallest whole record there is: ten bytes. */
export const tenBytes = encoded(commitAt(1));

export interface FrameSample {
  readonly epoch?: number;
  readonly pg?: number;
  readonly base: number;
  /** Where the group's chain was before this frame; its base unless given. */
  readonly prev?: number;
  /** Commit records in it, of ten bytes each. */
  readonly commits?: number;
}

/** A frame of whole commit records, ten LSNs each. */
export function frameBytes({
  epoch: of = 1,
  pg = 0,
  base,
  prev = base,
  commits = 1,
}: FrameSample): Uint8Array {
  const parts = Array.from({ length: commits }, () => tenBytes);
  return encodeFrame({ epoch: epoch(of), pg: pgId(pg), base: lsn(base), prevPg: lsn(prev) }, parts);
}

export function held(sample: FrameSample): HeldFrame {
  const { epoch: of = 1, pg = 0, base, prev = base, commits = 1 } = sample;
  const end = lsn(base + commits * tenBytes.length);
  const position = { file: of, offset: base, length: frameBytes(sample).length };
  return { epoch: epoch(of), pg: pgId(pg), base: lsn(base), end, prevPg: lsn(prev), lastCpl: end, position };
}

/** A persisted frame as the shell would describe it. */
export function heldOf(bytes: Uint8Array, offset = 0): HeldFrame {
  const parsed = parseFrame(bytes);
  if (parsed.kind !== 'frame') throw new Error(parsed.kind);
  const { epoch: of, pg, base, end, prevPg } = parsed.header;
  const decoded = decodeRecords(bytes.subarray(36), base);
  if (decoded.kind !== 'records') throw new Error(decoded.reason);
  const lastCpl: Lsn | null = decoded.records.findLast((record) => record.kind === 'commit')?.lsn ?? null;
  return { epoch: of, pg, base, end, prevPg, lastCpl, position: { file: 1, offset, length: bytes.length } };
}

export const epochs = (...values: readonly number[]): readonly Epoch[] => values.map(epoch);

/** The body of a message in one piece, as it arrives. */
export function joinedBody(body: Uint8Array | readonly Uint8Array[]): Uint8Array {
  return body instanceof Uint8Array ? body : new Uint8Array(Buffer.concat(body));
}
