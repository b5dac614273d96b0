/** A process's links to the six storage nodes of a region: the production client on simulated links. */
import { RegionClient } from '../../../storage/client/region-client.ts';
import { RegionFetch } from '../../../storage/client/region-fetch.ts';
import { regionId } from '../../../storage/redo/ids.ts';
import type { FetchedReply, FetchRequest } from '../../../storage/wire/core/messages.ts';
import { azOf, type LinkMessage, nodeAddress, nodeIds, type SimRuntime } from '../deployment/sim-types.ts';
import type { Address } from '../deployment/topology.ts';
import { LinksTwin } from '../ports/links.ts';
import type { RuntimeTwin } from '../ports/runtime.ts';
import type { ConnectionId, LinkEvent } from '../twins/network.ts';

export class RegionLinks extends RegionClient {
  private readonly twin: LinksTwin;

  constructor(runtime: SimRuntime, time: RuntimeTwin, region: string) {
    const twin = new LinksTwin(runtime);
    super({
      cluster: 'sim',
      secret: '',
      region: regionId(region),
      nodes: nodeIds.map((node) => ({ node, az: azOf(node), address: nodeAddress(region, node) })),
      place: { dial: twin.dial, runtime: time },
    });
    this.twin = twin;
  }

  /** Takes news of a link this process dialled; false when it is about another. */
  onLink(event: LinkEvent): boolean {
    return this.twin.onLink(event);
  }

  onMessage(from: Address, message: LinkMessage, connection: ConnectionId): void {
    this.twin.onMessage(from, message, connection);
  }
}

/** Reads a region's log from one node at a time, and from the next when that one is of no use. */
export class LogFetch {
  private readonly fetcher: RegionFetch;

  constructor(links: RegionLinks, start: number) {
    this.fetcher = new RegionFetch(links, start);
  }

  /** `done` gets null when this try brought nothing; the next one asks another node. */
  fetch(request: FetchRequest, done: (reply: FetchedReply | null) => void): void {
    void this.fetcher.fetch(request).then(done);
  }
}
