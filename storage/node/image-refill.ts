/** Carries out what the node decides about new images: fetches them from peers, stores what is pushed, puts them in the place of its own. */
import type { EpochTree } from '../history/epoch-tree.ts';
import type { FillBatch } from '../images/core/fill.ts';
import type { ImageStore } from '../images/image-store.ts';
import type { PageReader } from '../pages/page-reader.ts';
import { type Epoch, genesisEpoch, type PageNo } from '../redo/ids.ts';
import { redoLimits } from '../redo/limits.ts';
import type { FetchImagesRequest, ImagesReply, StorageReply } from '../wire/core/messages.ts';
import type { NodeEvent } from './core/node-events.ts';
import { liesOn } from './core/node-images.ts';
import type { RefillEffect } from './core/refill.ts';
import type { Repair } from './repair.ts';

export interface ImageRefillOptions {
  readonly tree: EpochTree;
  readonly images: ImageStore;
  readonly pages: Pick<PageReader, 'adopt'>;
  readonly repair: Repair;
  readonly step: (event: NodeEvent) => void;
  /** Pages came, in bytes. */
  readonly onBytes: (bytes: number) => void;
  readonly onTrouble: (what: string, reason: string) => void;
  /** The node has been filled, from how many bytes of pages. */
  readonly onFilled: (bytes: number) => void;
}

export class ImageRefill {
  private readonly options: ImageRefillOptions;
  private underWay: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(options: ImageRefillOptions) {
    this.options = options;
  }

  /** The node begins one thing after another had ended. */
  carryOut(effect: RefillEffect): void {
    if (this.closed) return;
    this.underWay = this.work(effect);
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    this.closed = true;
    await this.underWay;
  }

  private async work(effect: RefillEffect): Promise<void> {
    const { options } = this;
    const { images } = options;
    switch (effect.kind) {
      case 'fetchImages':
        await this.fetch(effect.head, effect.fromPage);
        return;
      case 'storeImages': {
        if (effect.isFirst) await images.dropFill();
        await this.store(effect.caller, effect.head, effect.batch, null);
        return;
      }
      case 'dropFill':
        options.onTrouble('images that were being fetched are given up; begins anew', effect.reason);
        await images.dropFill();
        options.step({ kind: 'filled', caller: null, head: effect.head, standing: null, total: null });
        return;
      case 'adoptImages': {
        const bytes = (images.filling?.pages ?? 0) * redoLimits.pageBytes;
        const stored =
          images.filling === null ? ({ kind: 'stored' } as const) : await options.pages.adopt(effect.head);
        const { base } = images;
        if (stored.kind === 'stored' && base !== null) {
          options.step({ kind: 'adopted', caller: effect.caller, head: effect.head, base });
          options.onFilled(bytes);
          return;
        }
        const reason = stored.kind === 'failed' ? stored.reason : 'there are none';
        options.onTrouble('images that were fetched could not be taken', reason);
        options.step({
          kind: 'filled',
          caller: null,
          head: effect.head,
          standing: images.filling,
          total: null,
        });
        this.failed(effect.caller, reason);
        return;
      }
    }
  }

  private async fetch(head: Epoch, fromPage: PageNo): Promise<void> {
    const reply = await this.options.repair.fetchImages(head, fromPage);
    if (reply === null || !liesOn(this.options.tree, reply.at, head)) {
      this.options.step({
        kind: 'fillFailed',
        caller: null,
        code: 'NOT_COMPLETE',
        reason: 'no peer has images',
      });
      return;
    }
    const batch = { at: reply.at, next: reply.next, pages: pagesIn(reply) };
    await this.store(null, head, batch, reply.total);
  }

  private async store(
    caller: number | null,
    head: Epoch,
    batch: FillBatch,
    total: number | null,
  ): Promise<void> {
    const { images, step, onBytes, onTrouble } = this.options;
    const filled = await images.addFill(batch);
    if (filled.kind === 'failed') {
      onTrouble('images could not be stored; tries again', filled.reason);
      this.failed(caller, filled.reason);
      return;
    }
    onBytes(batch.pages.length * redoLimits.pageBytes);
    step({ kind: 'filled', caller, head, standing: images.filling, total });
  }

  private failed(caller: number | null, reason: string): void {
    this.options.step({ kind: 'fillFailed', caller, code: 'DISK_FAILED', reason });
  }
}

/** Pages of a node's images for somebody who lacks them. They are asked for along a path, on which they have to lie. */
export async function readImages(
  images: Pick<ImageStore, 'pagesFrom'>,
  tree: EpochTree,
  { head, fromPage, bytesMax }: FetchImagesRequest,
): Promise<StorageReply> {
  const refused = (reason: string): StorageReply => ({
    kind: 'refused',
    code: 'NOT_COMPLETE',
    reason,
    sealed: genesisEpoch,
  });
  const read = await images.pagesFrom(fromPage, bytesMax, (place) => liesOn(tree, place, head));
  if (read.kind === 'bad') return refused(`${read.reason}, on the path to epoch ${head}`);
  const { at, pages, next, total } = read;
  const bytes = new Uint8Array(pages.length * redoLimits.pageBytes);
  for (const [place, page] of pages.entries()) bytes.set(page.bytes, place * redoLimits.pageBytes);
  return { kind: 'images', at, pages: pages.map(({ page }) => page), next, total, bytes };
}

/** Each page with bytes of its own. */
function pagesIn({ pages, bytes }: ImagesReply): FillBatch['pages'] {
  const { pageBytes } = redoLimits;
  return pages.map((page, place) => ({
    page,
    bytes: bytes.subarray(place * pageBytes, (place + 1) * pageBytes),
  }));
}
