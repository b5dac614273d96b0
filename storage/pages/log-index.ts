/** Reads frames that are on the disk into an index of pages, some at a time, so that no turn of the event loop is long. */
import type { HeldFrame } from '../log/core/held-frames.ts';
import type { FrameReader } from '../log/frame-reader.ts';
import { nextTurn, type Runtime } from '../process/runtime.ts';
import { checkedFrames } from '../redo/frame.ts';
import type { PageIndex } from './core/page-index.ts';

/** Stretches read, or searched, at once. */
export const framesPerTurn = 256;

/**
 * @param entries what the node's index of frames has: a stretch may be many frames.
 * @param goesOn asked before each piece.
 * @returns false when a frame could not be read, or it was told to stop: the index has a hole.
 */
export async function indexEntries(
  { frames, runtime }: { readonly frames: FrameReader; readonly runtime: Runtime },
  index: PageIndex,
  entries: readonly HeldFrame[],
  goesOn: () => boolean,
): Promise<boolean> {
  for (let at = 0; at < entries.length; at += framesPerTurn) {
    if (!goesOn()) return false;
    const some = entries.slice(at, at + framesPerTurn);
    const read = await frames.read(some);
    if (read.kind === 'bad') return false;
    for (const [place, stretch] of some.entries()) addStretch(index, stretch, read.frames[place] ?? nothing);
    await nextTurn(runtime);
  }
  return true;
}

/** A stretch may be many frames, of which each is indexed where it lies. @param bytes of all of it. */
export function addStretch(index: PageIndex, stretch: HeldFrame, bytes: Uint8Array): void {
  let { offset } = stretch.position;
  for (const frame of checkedFrames(bytes)) {
    const { epoch, pg, base, end, prevPg } = frame.header;
    const position = { ...stretch.position, offset, length: frame.bytes.length };
    // The index asks for no commit.
    index.add({ epoch, pg, base, end, prevPg, lastCpl: null, position }, frame.bytes);
    offset += frame.bytes.length;
  }
}

const nothing = new Uint8Array(0);
