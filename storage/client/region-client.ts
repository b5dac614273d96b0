/**
 * The storage nodes of one region, as gateways and agents use them: a link to each, requests by node, and page reads from
 * whichever node is best. It retries nothing but page reads; drivers and recoveries know what may be repeated. When a node tells
 * of a newer membership (S29), it goes on with the nodes of that one, and whoever asked does not notice.
 */
import type { Logger } from '../../telemetry/index.ts';
import { configured, type Membership, nodesOf } from '../members/core/membership.ts';
import { MembershipSight } from '../members/core/membership-sight.ts';
import { fewestIn, setsOf } from '../members/core/quorum-sets.ts';
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
  /** What the configuration says; a newer membership that a node tells of is used in its place. */
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
  private readonly options: RegionClientOptions;
  private readonly sight: MembershipSight;
  private readonly clients = new Map<NodeId, StorageClient>();
  private readonly watchers = new Set<NodeWatcher>();
  private readonly pages: PageFetcher;
  private closed = false;
  /** The append encoded last, and what it was encoded from: the same request goes to six nodes. */
  private encodedAppend: { readonly request: AppendRequest; readonly encoded: EncodedMessage } | null = null;

  constructor(options: RegionClientOptions) {
    const { region, nodes, place = {} } = options;
    this.options = options;
    this.region = region;
    this.sight = new MembershipSight(configured(nodes), (membership) => this.use(membership));
    for (const target of nodes) this.clients.set(target.node, this.open(target));
    this.pages = new PageFetcher({
      nodes,
      az: options.az ?? null,
      runtime: place.runtime ?? machine,
      isUp: (node) => this.isUp(node),
      ask: (node, request, timeoutMs, done) => this.ask(node, request, timeoutMs, done),
    });
  }

  get membership(): Membership {
    return this.sight.current;
  }

  get nodes(): readonly NodeId[] {
    return nodesOf(this.membership).map(({ node }) => node);
  }

  /** How many nodes a write could count on now: those of the set of six of which the fewest are reachable. */
  get writableNodes(): number {
    return fewestIn(setsOf(this.membership), (node) => this.isUp(node));
  }

  /** A membership was decided: from now on its nodes are talked to. */
  adopt(membership: Membership): void {
    this.sight.heard(membership);
  }

  get upNodes(): readonly NodeId[] {
    return this.nodes.filter((node) => this.isUp(node));
  }

  isUp(node: NodeId): boolean {
    return this.clients.get(node)?.isUp ?? false;
  }

  azOf(node: NodeId): string {
    return this.clients.get(node)?.target.az ?? '';
  }

  /** @returns a function that ends the watch. */
  watch(watcher: NodeWatcher): () => void {
    this.watchers.add(watcher);
    for (const node of this.upNodes) watcher.onNodeUp(node);
    return () => void this.watchers.delete(watcher);
  }

  /** Asks one node; `done` runs once, never inside this call, at the latest after `timeoutMs`. */
  ask(node: NodeId, request: StorageRequest, timeoutMs: number, done: (answer: Answer) => void): void {
    const client = this.clients.get(node);
    if (client !== undefined) {
      client.askEncoded(this.encode(request), timeoutMs, done);
      return;
    }
    const reason = `${node} is not a storage node of ${this.region} any more`;
    queueMicrotask(() => done({ kind: 'unanswered', reason, sent: false }));
  }

  request(node: NodeId, request: StorageRequest, timeoutMs: number): Promise<Answer> {
    return new Promise((resolve) => this.ask(node, request, timeoutMs, resolve));
  }

  /** Sends without wanting an answer. @returns whether it left. */
  notify(node: NodeId, request: StorageRequest): boolean {
    return this.clients.get(node)?.notify(request) ?? false;
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
    this.closed = true;
    for (const client of this.clients.values()) client.close();
    this.watchers.clear();
  }

  private open(target: NodeTarget): StorageClient {
    const { cluster, secret, region, log, place = {}, onRefused } = this.options;
    const { node } = target;
    // A link that was replaced meanwhile tells nobody anything.
    const isCurrent = (): boolean => this.clients.get(node) === client;
    const client: StorageClient = new StorageClient({
      cluster,
      secret,
      region,
      target,
      place,
      sight: this.sight,
      onUp: () => this.tell((watcher) => isCurrent() && watcher.onNodeUp(node)),
      onDown: () => this.tell((watcher) => isCurrent() && watcher.onNodeDown(node)),
      onRefused: (message) => {
        log?.error({ node, reason: message }, 'a storage node refuses the link');
        onRefused?.(node, message);
      },
    });
    return client;
  }

  /** Those that stay keep their links; drivers hear of the change before anything more is sent (S29). */
  private use(membership: Membership): void {
    if (this.closed) return;
    const targets = nodesOf(membership);
    const gone = [...this.clients].filter(
      ([, { target }]) =>
        !targets.some(({ node, address }) => node === target.node && address === target.address),
    );
    for (const [node] of gone) this.clients.delete(node);
    const { epoch, joining } = membership;
    const replaced = joining === null ? null : `${joining.out} by ${joining.in.node}`;
    this.options.log?.info(
      { epoch, nodes: targets.map(({ node }) => node), replaced },
      'the region has other storage nodes',
    );
    this.pages.use(targets);
    this.tell((watcher) => watcher.onMembers?.(membership));
    for (const target of targets)
      if (!this.clients.has(target.node)) this.clients.set(target.node, this.open(target));
    for (const [, client] of gone) client.close();
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
