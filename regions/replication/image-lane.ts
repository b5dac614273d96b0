/** Drives the filling of one secondary with images: pages from this region's nodes to NATS, under the lane's own connection (R1). */
import type { FetchSource, Floor, ImagesReply, PageNo, RegionId, Runtime } from '../../storage/index.ts';
import { encodeImages, type ImagesAck, subjectsOf } from '../bus/core/messages.ts';
import { bodyBytesFor } from '../bus/core/payload-room.ts';
import { type FillProgress, ImageShipper, type ImageShipperEffect } from './core/image-shipper.ts';
import type { ShippingBounds } from './core/shipping-limits.ts';
import { type Codec, packed } from './packing.ts';
import type { Reign } from './reign.ts';
import type { Outlet } from './shipping.ts';

const fetchMs = 5_000;

export interface ImageLaneOptions {
  readonly cluster: string;
  readonly from: RegionId;
  readonly to: RegionId;
  readonly region: FetchSource;
  readonly reign: Reign;
  readonly bounds: ShippingBounds;
  readonly codec: Codec;
  readonly runtime: Runtime;
  /** The lane's connection of the moment. */
  readonly outlet: () => Outlet;
  /** Page bytes left, before compression. */
  readonly onShipped: (bytes: number) => void;
}

export class ImageLane {
  private readonly options: ImageLaneOptions;
  private readonly shipper: ImageShipper;
  private at = 0;
  private closed = false;

  constructor(options: ImageLaneOptions) {
    this.options = options;
    this.shipper = new ImageShipper(options.bounds);
  }

  get progress(): FillProgress | null {
    return this.shipper.progress;
  }

  get low(): ImageShipper['low'] {
    return this.shipper.low;
  }

  tick(needed: Floor | null): void {
    this.step({ kind: 'needed', floor: needed });
  }

  acked(ack: ImagesAck): void {
    if (ack.head === this.options.reign.head) this.step({ kind: 'acked', ack });
  }

  close(): void {
    this.closed = true;
  }

  private step(event: Parameters<ImageShipper['step']>[0]): void {
    if (this.closed) return;
    for (const effect of this.shipper.step(event, this.options.runtime.nowMs())) void this.carryOut(effect);
  }

  private async carryOut(effect: ImageShipperEffect): Promise<void> {
    const { floor } = effect;
    if (effect.kind === 'ask') {
      const nothing = { at: floor, pages: [], next: null, total: 0, bytes: new Uint8Array(0) };
      await this.publish(floor, 1 as PageNo, nothing);
      return;
    }
    const { fromPage } = effect;
    const reply = await this.read(fromPage, effect.bytesMax);
    if (this.closed) return;
    if (reply === null || !(await this.publish(floor, fromPage, reply))) {
      this.step({ kind: 'fetchFailed' });
      return;
    }
    this.options.onShipped(reply.bytes.length);
    const { at, next, total, bytes } = reply;
    this.step({ kind: 'fetched', fromPage, at: at.lsn, next, bytes: bytes.length, total });
  }

  /** From one node, and the next time from another when it has none. */
  private async read(fromPage: PageNo, mostBytes: number): Promise<ImagesReply | null> {
    const { region, reign, outlet } = this.options;
    const node = region.nodes[this.at % region.nodes.length];
    if (node === undefined) return null;
    const request = {
      kind: 'fetchImages',
      head: reign.head,
      fromPage,
      bytesMax: Math.min(mostBytes, bodyBytesFor(outlet().maxPayloadBytes)),
    } as const;
    const reply = await region.request(node, request, fetchMs);
    if (reply.kind === 'images') return reply;
    this.at += 1;
    return null;
  }

  /** @returns whether it left. */
  private async publish(floor: Floor, fromPage: PageNo, reply: Omit<ImagesReply, 'kind'>): Promise<boolean> {
    const { cluster, from, to, reign, codec, outlet } = this.options;
    const body = await packed(reply.bytes, codec);
    if (this.closed) return false;
    const { at, pages, next, total, bytes } = reply;
    const { head, forks } = reign;
    const message = { from, head, forks, floor, at, fromPage, next, pages, total, bytes };
    return outlet().publish(subjectsOf(cluster).ship(to), encodeImages(message, body)) === 'sent';
  }
}
