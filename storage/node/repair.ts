/**
 * Fetches what this node lacks from its peers, the nearest availability zone first. One fetch at a time and at most one
 * a tick, so that catching up leaves the disk and the network to the writer; links are made when first needed.
 */
import type { PeerTold } from '../branches/core/branch-peers.ts';
import type { Fork } from '../history/epoch-tree.ts';
import type { Floor } from '../history/floor.ts';
import { configured, type Member, type Membership, nodesOf } from '../members/core/membership.ts';
import { MembershipSight } from '../members/core/membership-sight.ts';
import type { StorageConfig } from '../process/config.ts';
import { type Epoch, type Lsn, mainBranch, type NodeId, type PageNo, zeroLsn } from '../redo/ids.ts';
import { nodeLimits, refillLimits } from '../redo/limits.ts';
import type { DurablePoint, ImagesReply } from '../wire/core/messages.ts';
import { type LinkPlace, StorageClient } from '../wire/storage-client.ts';
import { PeerTurns } from './core/peer-turns.ts';

export interface Repaired {
  readonly kind: 'fetched';
  readonly frames: Uint8Array;
  readonly forks: readonly Fork[];
}

/** No peer that can be reached has the log that was asked for, and those that have had it hold images of it; `floor` is the lowest of theirs. */
export interface BelowAll {
  readonly kind: 'below';
  readonly floor: Floor;
}

export interface Repair {
  /** Frames along the path to `head` from `from` on, from one peer; null when that peer had none. */
  fetch(head: Epoch, from: Lsn, durable: DurablePoint): Promise<Repaired | BelowAll | null>;
  /** Pages as of a point that is durable, from the first peer that has them; null when none has. */
  readPages(
    head: Epoch,
    readPoint: Lsn,
    pages: readonly PageNo[],
  ): Promise<readonly (Uint8Array | null)[] | null>;
  /** Asks all peers what they know of branches; `heard` runs for each that answers. `peers`: how many there are. */
  askBranches?(heard: (node: NodeId, told: PeerTold, peers: number) => void): void;
  /** Nothing is wanted of peers: links are let go until something is. */
  rest?(): void;
  /** The region has these nodes from now on. */
  useMembers?(membership: Membership): void;
  /** Hears of a newer membership that a peer told. */
  onMembers?: (membership: Membership) => void;
  /** Pages of the images of the first peer that has any on this path, from a number on; null when none has. */
  fetchImages(head: Epoch, fromPage: PageNo): Promise<ImagesReply | null>;
  close(): void;
}

const fetchMs = 5_000;

export class PeerRepair implements Repair {
  private readonly config: StorageConfig;
  private readonly place: LinkPlace;
  private readonly bytesMax: number;
  private order: readonly Member[] = [];
  private readonly sight: MembershipSight;
  private readonly imagesBytesMax: number;
  onMembers: (membership: Membership) => void = () => undefined;
  private clients: readonly StorageClient[] | null = null;
  private readonly turns = new PeerTurns<StorageClient>();
  private pagesFrom = 0;
  private imagesFrom = 0;
  private closed = false;

  /** @param bytesMax frames in one answer. */
  constructor(config: StorageConfig, place: LinkPlace = {}, bytesMax: number = nodeLimits.fetchBytesMax) {
    this.config = config;
    this.place = place;
    this.bytesMax = bytesMax;
    this.imagesBytesMax = Math.min(bytesMax, refillLimits.batchBytes);
    this.sight = new MembershipSight(configured(config.peers), (membership) => {
      this.askOnly(nodesOf(membership));
      this.onMembers(membership);
    });
    this.askOnly(config.peers);
  }

  useMembers(membership: Membership): void {
    this.sight.heard(membership);
  }

  async fetch(head: Epoch, from: Lsn): Promise<Repaired | BelowAll | null> {
    const client = this.turns.choose(head, from, this.up());
    if (client === null) return null;
    const answer = await client.request(
      {
        kind: 'fetch',
        branch: mainBranch,
        head,
        from,
        bytesMax: this.bytesMax,
        waitMs: 0,
        durableOnly: true,
        known: { head, vdl: zeroLsn },
      },
      fetchMs,
    );
    if (answer.kind === 'fetched' && answer.frames.length > 0) {
      this.turns.brought(head);
      return answer;
    }
    const floor = answer.kind === 'refused' ? (answer.floor ?? null) : null;
    const lowest = this.turns.lacks(head, client, floor, this.up());
    return lowest === null ? null : { kind: 'below', floor: lowest };
  }

  async readPages(
    head: Epoch,
    readPoint: Lsn,
    pages: readonly PageNo[],
  ): Promise<readonly (Uint8Array | null)[] | null> {
    // Another peer first each time: what the last one sent may not have been what was wanted.
    const first = this.pagesFrom++;
    const clients = this.connected();
    for (let tried = 0; tried < clients.length && !this.closed; tried++) {
      const client = clients[(first + tried) % clients.length];
      if (client?.isUp !== true) continue;
      const answer = await client.request({ kind: 'readPages', head, readPoint, pages }, fetchMs);
      if (answer.kind === 'pages') return answer.pages;
    }
    return null;
  }

  async fetchImages(head: Epoch, fromPage: PageNo): Promise<ImagesReply | null> {
    const clients = this.connected();
    for (let tried = 0; tried < clients.length && !this.closed; tried++) {
      // The nearest first, and one that gave some again.
      const client = clients[this.imagesFrom % clients.length];
      if (client?.isUp === true) {
        const request = { kind: 'fetchImages', head, fromPage, bytesMax: this.imagesBytesMax } as const;
        const answer = await client.request(request, fetchMs);
        if (answer.kind === 'images') return answer;
      }
      this.imagesFrom += 1;
    }
    return null;
  }

  askBranches(heard: (node: NodeId, told: PeerTold, peers: number) => void): void {
    const clients = this.connected();
    for (const [at, client] of clients.entries()) {
      const node = this.order[at]?.node;
      if (node === undefined || !client.isUp) continue;
      void client.request({ kind: 'status', known: true }, fetchMs).then((answer) => {
        if (answer.kind !== 'status' || this.closed) return;
        // A node of an older version knows no branches.
        const { branches = [], known = { forks: [], isWhole: true }, membership } = answer;
        heard(node, { ...known, branches, members: membership?.epoch ?? 0 }, clients.length);
      });
    }
  }

  rest(): void {
    for (const client of this.clients ?? []) client.close();
    this.clients = null;
  }

  close(): void {
    this.closed = true;
    this.rest();
  }

  private askOnly(peers: readonly Member[]): void {
    const { node, az } = this.config;
    const others = peers.filter((peer) => peer.node !== node);
    this.order = [...others.filter((peer) => peer.az === az), ...others.filter((peer) => peer.az !== az)];
    this.rest();
    this.turns.clear();
  }

  /** The peers that can be reached, the nearest first. */
  private up(): readonly StorageClient[] {
    return this.connected().filter((client) => client.isUp);
  }

  /** Links are made when this is first called, and are up a moment later. */
  private connected(): readonly StorageClient[] {
    if (this.closed) return [];
    const { cluster, secret, region } = this.config;
    this.clients ??= this.order.map(
      (target) =>
        new StorageClient({ cluster, secret, region, target, place: this.place, sight: this.sight }),
    );
    return this.clients;
  }
}
