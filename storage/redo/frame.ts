/**
 * Frames: the unit of redo on the wire and on disk. A frame is one contiguous LSN run of one protection group,
 * encoded and checksummed once by the writer; the same bytes lie on six disks in every region.
 *
 * Header, version 1, 36 bytes, little-endian:
 *
 * | at | field | |
 * |---|---|---|
 * | 0 | magic u16 | `SX` |
 * | 2 | version u8 | 1 |
 * | 3 | flags u8 | 0 |
 * | 4 | payloadLength u32 | the LSNs it covers: [base, base + payloadLength) |
 * | 8 | epoch u32 | whose history the records belong to |
 * | 12 | pg u32 | protection group |
 * | 16 | base u64 | LSN at the first payload byte; also the volume back-link |
 * | 24 | prevPg u64 | end LSN of the previous frame of this PG in this epoch, or the fork LSN: the segment back-link |
 * | 32 | crc32 u32 | over the 32 bytes before it and the payload |
 */
import { crc32 } from 'node:zlib';
import { readU64, viewOf, writeU64 } from './bytes.ts';
import { type Epoch, epoch, type Lsn, lsn, type PgId, pgId } from './ids.ts';
import { redoLimits } from './limits.ts';

export const frameHeaderBytes = 36;
export const frameVersion = 1;
export const frameMagic = 0x5853; // "SX" in the byte order of the header
const crcOffset = 32;

export interface FrameHeader {
  readonly payloadBytes: number;
  readonly epoch: Epoch;
  readonly pg: PgId;
  readonly base: Lsn;
  /** base + payloadBytes. */
  readonly end: Lsn;
  readonly prevPg: Lsn;
}

export type ParsedFrame =
  | { readonly kind: 'frame'; readonly header: FrameHeader; readonly length: number }
  /** The bytes end before the frame does. */
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'bad'; readonly reason: string };

export interface FrameFields {
  readonly epoch: Epoch;
  readonly pg: PgId;
  readonly base: Lsn;
  readonly prevPg: Lsn;
}

/** Encodes a frame around payload parts laid back to back. */
export function encodeFrame(fields: FrameFields, parts: readonly Uint8Array[]): Uint8Array {
  let payloadBytes = 0;
  for (const part of parts) payloadBytes += part.length;
  const frame = new Uint8Array(frameHeaderBytes + payloadBytes);
  const view = viewOf(frame);
  view.setUint16(0, frameMagic, true);
  view.setUint8(2, frameVersion);
  view.setUint32(4, payloadBytes, true);
  view.setUint32(8, fields.epoch, true);
  view.setUint32(12, fields.pg, true);
  writeU64(view, 16, fields.base);
  writeU64(view, 24, fields.prevPg);
  let at = frameHeaderBytes;
  for (const part of parts) {
    frame.set(part, at);
    at += part.length;
  }
  view.setUint32(crcOffset, frameChecksum(frame), true);
  return frame;
}

function frameChecksum(frame: Uint8Array): number {
  return crc32(frame.subarray(frameHeaderBytes), crc32(frame.subarray(0, crcOffset)));
}

/** Reads and checks the frame that starts at `offset`; nothing in it is believed before the checksum holds. */
export function parseFrame(bytes: Uint8Array, offset = 0): ParsedFrame {
  return readFrame(bytes, offset, true);
}

/** As `parseFrame`, for bytes whose checksum this process has checked before. */
export function skimFrame(bytes: Uint8Array, offset = 0): ParsedFrame {
  return readFrame(bytes, offset, false);
}

function readFrame(bytes: Uint8Array, offset: number, checks: boolean): ParsedFrame {
  if (bytes.length - offset < frameHeaderBytes) return { kind: 'incomplete' };
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, frameHeaderBytes);
  if (view.getUint16(0, true) !== frameMagic)
    return { kind: 'bad', reason: 'no frame starts here (wrong magic)' };
  const version = view.getUint8(2);
  if (version !== frameVersion) {
    return { kind: 'bad', reason: `frame version ${version}, this process reads ${frameVersion}` };
  }
  const payloadBytes = view.getUint32(4, true);
  if (payloadBytes === 0 || payloadBytes > redoLimits.framePayloadBytesMax) {
    return {
      kind: 'bad',
      reason: `frame length ${payloadBytes} outside 1 to ${redoLimits.framePayloadBytesMax}`,
    };
  }
  const length = frameHeaderBytes + payloadBytes;
  if (bytes.length - offset < length) return { kind: 'incomplete' };
  const frame = bytes.subarray(offset, offset + length);
  if (checks && frameChecksum(frame) !== view.getUint32(crcOffset, true))
    return { kind: 'bad', reason: 'frame checksum mismatch' };
  const base = readU64(view, 16);
  const prevPg = readU64(view, 24);
  const end = base + payloadBytes;
  if (!Number.isSafeInteger(end) || !(prevPg <= base)) {
    return { kind: 'bad', reason: `frame positions out of order: previous ${prevPg}, base ${base}` };
  }
  const header: FrameHeader = {
    payloadBytes,
    epoch: epoch(view.getUint32(8, true)),
    pg: pgId(view.getUint32(12, true)),
    base: lsn(base),
    end: lsn(end),
    prevPg: lsn(prevPg),
  };
  return { kind: 'frame', header, length };
}

/** The records of a frame, as one view. */
export function framePayload(frame: Uint8Array): Uint8Array {
  return frame.subarray(frameHeaderBytes);
}

export type SplitFrames =
  | { readonly kind: 'frames'; readonly frames: readonly ReceivedFrame[] }
  | { readonly kind: 'bad'; readonly reason: string };

/** A checked frame: its header and its bytes exactly as the writer encoded them. */
export interface ReceivedFrame {
  readonly header: FrameHeader;
  readonly bytes: Uint8Array;
}

/** Frames laid back to back that this process has checked before. */
export function checkedFrames(bytes: Uint8Array): readonly ReceivedFrame[] {
  const frames: ReceivedFrame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const parsed = skimFrame(bytes, at);
    if (parsed.kind !== 'frame') break;
    frames.push({ header: parsed.header, bytes: bytes.subarray(at, at + parsed.length) });
    at += parsed.length;
  }
  return frames;
}

/** Splits frames laid back to back, checking each. */
export function splitFrames(bytes: Uint8Array, offset = 0): SplitFrames {
  const frames: ReceivedFrame[] = [];
  let at = offset;
  while (at < bytes.length) {
    const parsed = parseFrame(bytes, at);
    if (parsed.kind === 'incomplete') return { kind: 'bad', reason: 'the last frame is cut short' };
    if (parsed.kind === 'bad') return parsed;
    frames.push({ header: parsed.header, bytes: bytes.subarray(at, at + parsed.length) });
    at += parsed.length;
  }
  return { kind: 'frames', frames };
}

/**
 * LSNs covered by frames laid back to back that this process has itself encoded or checked; null when there are none.
 * Reads only lengths and positions.
 */
export function parseFrameExtent(bytes: Uint8Array): { readonly from: Lsn; readonly to: Lsn } | null {
  let from: number | null = null;
  let to = 0;
  for (let at = 0; at + frameHeaderBytes <= bytes.length; ) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, frameHeaderBytes);
    const payloadBytes = view.getUint32(4, true);
    const base = readU64(view, 16);
    from ??= base;
    to = base + payloadBytes;
    at += frameHeaderBytes + payloadBytes;
  }
  return from === null ? null : { from: lsn(from), to: lsn(to) };
}
