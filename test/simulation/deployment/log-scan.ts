/**
 * Reads the log files of a simulated node as the judges do, independently of how the node reads them. Where bytes are no frame, the
 * next one is looked for: first at the end the broken frame's own header claims, then byte by byte.
 */

import assert from 'node:assert/strict';
import type { HeldFrame } from '../../../storage/log/core/held-frames.ts';
import { viewOf } from '../../../storage/redo/bytes.ts';
import {
  frameHeaderBytes,
  framePayload,
  parseFrame,
  type ReceivedFrame,
} from '../../../storage/redo/frame.ts';
import { lastCplIn } from '../../../storage/redo/record-cursor.ts';

export type ScannedFrame = {
  readonly frame: ReceivedFrame;
  readonly held: HeldFrame;
};
export type ScannedLog = {
  readonly frames: readonly ScannedFrame[];
  /** Where the last frame ends. */
  readonly validBytes: number;
  /** Bytes before that are part of no frame. */
  readonly damagedBytes: number;
};

/** @param file the number of the file these bytes are. */
export function scanLog(bytes: Uint8Array, file: number): ScannedLog {
  const frames: ScannedFrame[] = [];
  let validBytes = 0;
  let damagedBytes = 0;
  for (let at = 0; at < bytes.length; ) {
    const parsed = parseFrame(bytes, at);
    if (parsed.kind !== 'frame') {
      at = nextFrame(bytes, at);
      continue;
    }
    damagedBytes += at - validBytes;
    const frame = { header: parsed.header, bytes: bytes.subarray(at, at + parsed.length) };
    frames.push(scanned(frame, file, at));
    at += parsed.length;
    validBytes = at;
  }
  return { frames, validBytes, damagedBytes };
}

/** The index entry of a frame that lies at `offset`. */
function scanned(frame: ReceivedFrame, file: number, offset: number): ScannedFrame {
  const { epoch, pg, base, end, prevPg } = frame.header;
  const lastCpl = lastCplIn(framePayload(frame.bytes), base);
  assert(lastCpl !== 'malformed', 'a frame that was kept holds whole records');
  const position = { file, offset, length: frame.bytes.length };
  return { frame, held: { epoch, pg, base, end, prevPg, lastCpl, position } };
}

function nextFrame(bytes: Uint8Array, broken: number): number {
  if (bytes.length - broken >= frameHeaderBytes) {
    const claimed = broken + frameHeaderBytes + viewOf(bytes).getUint32(broken + 4, true);
    if (claimed < bytes.length && parseFrame(bytes, claimed).kind === 'frame') return claimed;
  }
  for (let at = broken + 1; at < bytes.length; at += 1) {
    if (bytes[at] === 0x53 && bytes[at + 1] === 0x58 && parseFrame(bytes, at).kind === 'frame') return at;
  }
  return bytes.length;
}
