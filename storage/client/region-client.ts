/**
 * The six storage nodes of one region, as gateways and agents use them: a link to each, requests by node, and page reads
 * from whichever node is best. It retries nothing but page reads; drivers and recoveries know what may be repeated.
 */
import assert from 'node:assert/strict';
import type { Logger } from '../../telemetry/index.ts';
import { machine } from '../process/runtime.ts';
import type { Epoch, Lsn, NodeId, PageNo, RegionId } from '../redo/ids.ts';
import { type EncodedMessage, encodeRequest } from '../wire/core/message-codec.ts';
import type { AppendRequest, StatusReply, StorageRequest } from '../wire/core/messages.ts';
import { type Answer, type LinkPlace, type NodeTarget, StorageClient } from '../wire/storage-client.ts';
import type { NodeLinks, NodeWatcher } from './node-links.ts';
import { PageFetcher, type PagesFetched, type PagesWanted } from './page-fetcher.ts';

export interface RegionClientOptions {
  readonly cluster: string;
  readonly secret: string;
  readonly region: RegionId;
  readonly nodes: readonly NodeTarget[];
  /** Zone of this process: its nodes are preferred for page reads and tailing. */
  readonly az?: string;
  readonly log?: Logger;
  readonly place?: LinkPlace;
  /** A node refuses the link, or is not the one it should be; said once for each reason. */
  readonly onRefused?: (node: NodeId, message: string) => void;
}

export interface NodeStatus extends NodeTarget {
  readonly up: boolean;
  /** Why the node does not talk to us: wrong secret, wrong cluster, wrong address; null when nothing is wrong. */
  readonly refusal: string | null;
  readonly status: StatusReply | null;
}

export class RegionClient implements NodeLinks {
  readonly region: RegionId;
  readonly nodes: readonly NodeId[];
  private readonly clients = new Map<NodeId, StorageClient>();
  private readonly watchers = new Set<NodeWatcher>();
  private readonly pages: PageFetcher;
  /** The append encoded last, and what it was encoded from: the same request goes to six nodes. */
  private encodedAppend: { readonly request: AppendRequest; readonly encoded: EncodedMessage } | null = null;

  constructor(options: RegionClientOptions) {
    const { cluster, secret, region, nodes, log, place = {} } = options;
    this.region = region;
    this.nodes = nodes.map(({ node }) => node);
    for (const target of nodes) {
      const client = new StorageClient({
        cluster,
        secret,
        region,
        target,
        place,
        onUp: () => this.tell((watcher) => watcher.onNodeUp(target.node)),
        onDown: () => this.tell((watcher) => watcher.onNodeDown(target.node)),
        onRefused: (message) => {
          log?.error({ node: target.node, reason: message }, 'a storage node refuses the link');
          options.onRefused?.(target.node, message);
        },
      });
      this.clients.set(target.node, client);
    }
    this.pages = new PageFetcher({
      nodes,
      az: options.az ?? null,
      runtime: place.runtime ?? machine,
      isUp: (node) => this.isUp(node),
      ask: (node, request, timeoutMs, done) => this.ask(node, request, timeoutMs, done),
    });
  }

  get upNodes(): readonly NodeId[] {
    return this.nodes.filter((node) => this.isUp(node));
  }

  isUp(node: NodeId): boolean {
    return this.clients.get(node)?.isUp ?? false;
  }

  azOf(node: NodeId): string {
    return this.client(node).target.az;
  }

  /** @returns a function that ends the watch. */
  watch(watcher: NodeWatcher): () => void {
    this.watchers.add(watcher);
    for (const node of this.upNodes) watcher.onNodeUp(node);
    return () => void this.watchers.delete(watcher);
  }

  /** Asks one node; `done` runs once, never inside this call, at the latest after `timeoutMs`. */
  ask(node: NodeId, request: StorageRequest, timeoutMs: number, done: (answer: Answer) => void): void {
    this.client(node).askEncoded(this.encode(request), timeoutMs, done);
  }

  request(node: NodeId, request: StorageRequest, timeoutMs: number): Promise<Answer> {
    return new Promise((resolve) => this.ask(node, request, timeoutMs, resolve));
  }

  /** Sends without wanting an answer. @returns whether it left. */
  notify(node: NodeId, request: StorageRequest): boolean {
    return this.client(node).notify(request);
  }

  /** Every node and what it says of itself; silent nodes have no status. */
  async status(timeoutMs = 1_000): Promise<readonly NodeStatus[]> {
    return Promise.all(
      [...this.clients.values()].map(async (client) => {
        const answer = await client.request({ kind: 'status' }, timeoutMs);
        const status = answer.kind === 'status' ? answer : null;
        return { ...client.target, up: client.isUp, refusal: client.refusal, status };
      }),
    );
  }

  /**
   * Reads pages as they were at `readPoint`, in the order asked; null for a page that did not exist. One node is asked,
   * a second when the first is slow, the next when one refuses.
   */
  readPages(
    head: Epoch,
    readPoint: Lsn,
    pages: readonly PageNo[],
    options: PagesWanted = {},
  ): Promise<PagesFetched> {
    return this.pages.read(head, readPoint, pages, options);
  }

  close(): void {
    for (const client of this.clients.values()) client.close();
    this.watchers.clear();
  }

  private client(node: NodeId): StorageClient {
    const client = this.clients.get(node);
    if (client === undefined) assert.fail(`${node} is not a node of ${this.region}`);
    return client;
  }

  private encode(request: StorageRequest): EncodedMessage {
    if (request.kind !== 'append') return encodeRequest(request);
    if (this.encodedAppend?.request === request) return this.encodedAppend.encoded;
    const encoded = encodeRequest(request);
    this.encodedAppend = { request, encoded };
    return encoded;
  }

  private tell(of: (watcher: NodeWatcher) => void): void {
    for (const watcher of [...this.watchers]) of(watcher);
  }
}
