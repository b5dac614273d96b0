/**
 * Writes frames that another region encoded to this region's six nodes, and says what became durable here. The bytes
 * go on unchanged; only what of a frame lies on the followed path counts.
 */

import type { NodeLinks } from '../client/node-links.ts';
import type { EpochTree, Fork } from '../history/epoch-tree.ts';
import { setsOf } from '../members/core/quorum-sets.ts';
import { machine, type Runtime } from '../process/runtime.ts';
import { framePayload, type ReceivedFrame } from '../redo/frame.ts';
import { type Epoch, type Lsn, minLsn } from '../redo/ids.ts';
import { quorumBoundsDefault } from '../redo/limits.ts';
import { lastCplIn } from '../redo/record-cursor.ts';
import { type QuorumFrame, QuorumWriter } from './core/quorum-writer.ts';
import { type DriverPlace, QuorumDriver } from './quorum-driver.ts';

export interface ReceiverDriverOptions {
  readonly region: NodeLinks;
  /** The reign that is followed. */
  readonly authority: Epoch;
  /** The path the frames lie on. */
  readonly head: Epoch;
  readonly forks: readonly Fork[];
  /** Durable here already, and a CPL. */
  readonly start: Lsn;
  /** VDL or VCL has moved: within a large transaction VCL alone does, for as long as it takes. */
  readonly onDurable: (vdl: Lsn, vcl: Lsn) => void;
  /** A newer reign has sealed the nodes. Runs at most once, and never together with `onQuorumLost`. */
  readonly onFenced: (by: Epoch) => void;
  readonly onQuorumLost: (reason: string) => void;
  readonly place?: DriverPlace;
}

export type Offered =
  /** The frames are on their way; the next ones start at `next`. Frames below were known and are passed over. */
  | { readonly kind: 'taken'; readonly next: Lsn }
  /** Nothing was taken: frames before are missing. */
  | { readonly kind: 'gap'; readonly next: Lsn }
  /** Nothing was taken: too much is on its way already; offer again after `onDurable`. */
  | { readonly kind: 'full'; readonly next: Lsn }
  /** Nothing was taken: the bytes are no frames, or lie on no known path. */
  | { readonly kind: 'bad'; readonly reason: string }
  | { readonly kind: 'over' };

export class ReceiverDriver {
  private readonly writer: QuorumWriter;
  private readonly driver: QuorumDriver;
  private readonly runtime: Runtime;
  private readonly outstandingBytesMax: number;
  private nextLsn: Lsn;

  constructor(options: ReceiverDriverOptions) {
    const { region, authority, head, forks, start, place = {} } = options;
    const { runtime = machine, bounds } = place;
    this.runtime = runtime;
    this.outstandingBytesMax = (bounds ?? quorumBoundsDefault).outstandingBytesMax;
    this.nextLsn = start;
    this.writer = new QuorumWriter({
      sets: setsOf(region.membership),
      authority,
      head,
      forks,
      start,
      nowMs: runtime.nowMs(),
      ...(bounds !== undefined && { bounds }),
    });
    this.driver = new QuorumDriver(
      region,
      authority,
      this.writer,
      {
        onDurable: options.onDurable,
        onComplete: (vcl) => options.onDurable(this.writer.vdl, vcl),
        onFenced: options.onFenced,
        onQuorumLost: options.onQuorumLost,
      },
      place,
    );
  }

  get vdl(): Lsn {
    return this.writer.vdl;
  }

  get vcl(): Lsn {
    return this.writer.vcl;
  }

  /** End of the frames taken. */
  get next(): Lsn {
    return this.nextLsn;
  }

  /** Redo taken and not yet complete here. */
  get outstandingBytes(): number {
    return Math.max(0, this.nextLsn - this.writer.vcl);
  }

  get hasRoom(): boolean {
    return this.outstandingBytes < this.outstandingBytesMax;
  }

  get isOver(): boolean {
    return this.driver.isOver;
  }

  /**
   * Takes frames in the order of the volume, all or none. Whoever split them has checked them; their bytes must not change afterwards.
   * @param tree knows the path to the followed head.
   */
  offer(frames: readonly ReceivedFrame[], tree: EpochTree): Offered {
    if (this.driver.isOver) return { kind: 'over' };
    if (!this.hasRoom) return { kind: 'full', next: this.nextLsn };
    let next = this.nextLsn;
    const taken: QuorumFrame[] = [];
    for (const frame of frames) {
      const until = tree.visibleUntil(this.writer.head, frame.header.epoch);
      const end = minLsn(frame.header.end, until);
      if (end <= frame.header.base) {
        return {
          kind: 'bad',
          reason: `a frame of epoch ${frame.header.epoch} at ${frame.header.base} is not on the path to epoch ${this.writer.head}`,
        };
      }
      if (end <= next) continue;
      if (frame.header.base > next) return { kind: 'gap', next: this.nextLsn };
      const quorumFrame = this.onPath(frame, end);
      if (quorumFrame === null)
        return { kind: 'bad', reason: `the frame at ${frame.header.base} is not a whole number of records` };
      taken.push(quorumFrame);
      next = end;
    }
    this.nextLsn = next;
    if (taken.length > 0) this.driver.carryOut(this.writer.offer(taken, this.runtime.nowMs()));
    return { kind: 'taken', next };
  }

  close(): void {
    this.driver.close();
  }

  private onPath({ header, bytes }: ReceivedFrame, end: Lsn): QuorumFrame | null {
    const lastCpl = lastCplIn(framePayload(bytes), header.base, end);
    return lastCpl === 'malformed' ? null : { bytes, pg: header.pg, end, lastCpl };
  }
}
