/**
 * A secondary's side of being filled with images: puts what its primary ships to its six nodes, and says what four of them have
 * flushed (R63). It needs no recovery of the region before: nodes that stand below the primary's log could not be recovered.
 */
import { type FetchSource, type ImagesPutReply, type RegionId, redoLimits } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { decodeImages, encodeImagesAck, type ShippedImages, subjectsOf } from '../bus/core/messages.ts';
import type { NatsConnection } from '../bus/nats-connection.ts';
import { fillOf, type RegionFill } from './core/image-quorum.ts';
import { type Codec, unpacked } from './packing.ts';

const putMs = 10_000;
/** Messages that may wait for the nodes; what comes beyond is asked for again. */
const waitingMax = 64;

export interface ImageReceivingOptions {
  readonly cluster: string;
  readonly region: RegionId;
  readonly connection: Pick<NatsConnection, 'publish'>;
  readonly nodes: FetchSource;
  readonly codec: Codec;
  /** Pages have begun to come. */
  readonly onBegun: (from: RegionId) => void;
  /** Four nodes have all of them: the region's log counts from `low` on. */
  readonly onFilled: (bytes: number) => void;
  readonly log: Logger;
}

export class ImageReceiving {
  private readonly options: ImageReceivingOptions;
  private working: Promise<void> = Promise.resolve();
  private waiting = 0;
  private progress = 0;
  private isFilling = false;
  private bytes = 0;
  private closed = false;

  constructor(options: ImageReceivingOptions) {
    this.options = options;
  }

  /** Rises while pages are stored. */
  get stored(): number {
    return this.progress;
  }

  /** Takes a message of images. */
  arrived(bytes: Uint8Array): void {
    const decoded = decodeImages(bytes);
    if (decoded.kind === 'malformed') {
      this.options.log.warn({ reason: decoded.reason }, 'ignored images that could not be read');
      return;
    }
    if (this.waiting >= waitingMax) return;
    this.waiting += 1;
    this.working = this.working.then(async () => {
      this.waiting -= 1;
      if (!this.closed) await this.put(decoded.value);
    });
  }

  close(): void {
    this.closed = true;
  }

  private async put({
    compressed,
    ...message
  }: ShippedImages & { readonly compressed: boolean }): Promise<void> {
    const { log, codec } = this.options;
    let pages = message.bytes;
    try {
      if (compressed) pages = await unpacked(message.bytes, codec);
    } catch (error) {
      log.warn({ err: error }, 'ignored images that do not decompress');
      return;
    }
    if (pages.length !== message.pages.length * redoLimits.pageBytes) {
      log.warn({ pages: message.pages.length, bytes: pages.length }, 'ignored images of the wrong length');
      return;
    }
    const fill = fillOf(await this.putAll({ ...message, bytes: pages }));
    if (fill === null || this.closed) return;
    this.note(message, fill);
    const { cluster, region, connection } = this.options;
    const { head } = message;
    connection.publish(subjectsOf(cluster).ack(message.from), encodeImagesAck({ region, head, ...fill }));
  }

  private async putAll({
    head,
    forks,
    at,
    fromPage,
    next,
    pages,
    bytes,
  }: ShippedImages): Promise<readonly ImagesPutReply[]> {
    const { nodes } = this.options;
    const request = { kind: 'putImages', authority: head, head, at, fromPage, next, pages, bytes } as const;
    const asked = nodes.nodes.map(async (node) => {
      // A node that has not been recovered yet has not heard of the path.
      if (pages.length === 0) await nodes.request(node, { kind: 'fork', authority: head, forks }, putMs);
      const reply = await nodes.request(node, request, putMs);
      return reply.kind === 'imagesPut' ? [reply] : [];
    });
    return (await Promise.all(asked)).flat();
  }

  private note(message: ShippedImages, { next, pages }: RegionFill): void {
    const { log, onBegun, onFilled } = this.options;
    const { from } = message;
    // Nodes that have all count them as a filling no more.
    const before = next === null ? this.bytes : 0;
    const bytes = before + (next === null ? message.pages.length : pages) * redoLimits.pageBytes;
    if (next !== null) {
      if (!this.isFilling) {
        this.isFilling = true;
        log.info({ primary: from, pages }, 'this region is filled with images of its primary');
        onBegun(from);
      }
      if (bytes !== this.bytes) this.progress += 1;
      this.bytes = bytes;
      return;
    }
    if (!this.isFilling) return;
    this.isFilling = false;
    this.bytes = bytes;
    log.info({ primary: from, bytes }, 'this region has all images of its primary');
    onFilled(bytes);
  }
}
