/**
 * The production shells of replication on a simulated process: what they are given, what the witness sees of what they do,
 * and what a defect makes of it.
 */
import type { ReplicationParts } from '../../../regions/agent/replication-parts.ts';
import { carriesImages, decodeImages, decodeShipped } from '../../../regions/bus/core/messages.ts';
import type { ShippingBounds } from '../../../regions/replication/core/shipping-limits.ts';
import {
  openRegionReceiver,
  type ReceiverNews,
  type RegionReceiver,
} from '../../../regions/replication/receiving.ts';
import type { Reign } from '../../../regions/replication/reign.ts';
import type { Outlet } from '../../../regions/replication/shipping.ts';
import type { FetchSource } from '../../../storage/client/region-fetch.ts';
import type { RecoveryGoal } from '../../../storage/quorum/core/recovery.ts';
import type { RecoveryResult } from '../../../storage/quorum/recovery-driver.ts';
import { splitFrames } from '../../../storage/redo/frame.ts';
import { maxLsn } from '../../../storage/redo/ids.ts';
import type { StorageRequest } from '../../../storage/wire/core/messages.ts';
import type { SimContext } from '../deployment/sim-types.ts';
import { codecTwin } from '../ports/codec.ts';
import type { NatsPart, NatsTwins } from '../ports/nats.ts';
import type { RuntimeTwin } from '../ports/runtime.ts';
import { placeOf, RecoveryRun } from './drivers.ts';
import type { RegionLinks } from './region-links.ts';

/** What a region's agent has for them. */
export type ReplicationHost = {
  readonly region: string;
  readonly context: SimContext;
  readonly time: RuntimeTwin;
  readonly links: RegionLinks;
  readonly nats: NatsTwins;
};

/** How redo leaves and arrives in a simulated region. */
export function replicationParts(host: ReplicationHost): ReplicationParts {
  const { context, nats, region } = host;
  return {
    region: logSource(host),
    connect: (purpose) => observedOutlet(nats.open(purpose), host),
    openReceiver: (at, on) => openReceiver(host, at, on),
    onStalled: (to) => context.witness.stalled(region, to),
    bounds: context.defects.has('fills-the-line')
      ? filling(context.bounds.shipping)
      : context.bounds.shipping,
    codec: codecTwin,
  };
}

/** The log that is shipped. Nodes send whole frames. The defect reads beyond what is durable, and believes that it is. */
function logSource({ links, context }: ReplicationHost): FetchSource {
  const shipsUndurable = context.defects.has('ship-undurable');
  const asked = (request: StorageRequest): StorageRequest =>
    shipsUndurable && request.kind === 'fetch' ? { ...request, durableOnly: false } : request;
  return {
    nodes: links.nodes,
    request: async (node, request, timeoutMs) => {
      const answer = await links.request(node, asked(request), timeoutMs);
      if (answer.kind !== 'fetched') return answer;
      const split = splitFrames(answer.frames);
      if (split.kind === 'bad')
        throw new Error(`a storage node sent frames that do not check: ${split.reason}`);
      return shipsUndurable ? { ...answer, vdl: maxLsn(answer.vdl, answer.next) } : answer;
    },
  };
}

/** The defect: however long redo waits for the line, more is put behind it. */
const filling = (bounds: ShippingBounds): ShippingBounds => ({
  ...bounds,
  queueMs: Number.POSITIVE_INFINITY,
});

/** Tells the witness what leaves for a secondary. */
function observedOutlet(connection: NatsPart, { context }: ReplicationHost): Outlet {
  const target = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1);
  return {
    get maxPayloadBytes() {
      return connection.maxPayloadBytes;
    },
    publish: (subject, bytes) => {
      if (carriesImages(bytes)) {
        const images = decodeImages(bytes);
        if (images.kind === 'malformed') throw new Error(`images cannot be read: ${images.reason}`);
        const { head, forks, at } = images.value;
        const to = target(subject);
        context.witness.filling(to);
        // Once it has them, the region has everything up to where they are told.
        context.witness.line(forks).shipped(to, head, at.lsn);
        return connection.publish(subject, bytes);
      }
      const shipped = decodeShipped(bytes);
      if (shipped.kind === 'malformed')
        throw new Error(`a shipped message cannot be read: ${shipped.reason}`);
      const { head, forks, vdl } = shipped.value;
      const to = target(subject);
      // The path says by itself that everything up to its last fork is durable (S7), also before the nodes do.
      context.witness.line(forks).shipped(to, head, maxLsn(vdl, forks.at(-1)?.forkLsn ?? vdl));
      return connection.publish(subject, bytes);
    },
    close: () => connection.close(),
  };
}

/** A recovery over the region's own nodes. */
export function runRecovery(
  { links, time, context }: ReplicationHost,
  goal: RecoveryGoal,
): Promise<RecoveryResult> {
  const options = {
    skipsReplication: context.defects.has('skip-replication'),
    fetchBytesMax: context.bounds.fetchBytesMax,
  };
  return new Promise((resolve) => void new RecoveryRun(links, time, goal, options, resolve));
}

/** Tells the witness what is durable here. The defect holds credit back until the commit, as was once done. */
function openReceiver(
  { region, context, links, time }: ReplicationHost,
  at: Reign,
  on: ReceiverNews,
): RegionReceiver {
  const { defects } = context;
  const line = context.witness.line(at.forks);
  let committed = at.vdl;
  line.secondaryDurable(region, at.head, at.vdl);
  const seen: ReceiverNews = {
    lost: on.lost,
    durable: (vdl, vcl) => {
      const isCommit = vdl > committed;
      committed = vdl;
      if (!isCommit && defects.has('credit-by-vdl')) return;
      line.secondaryDurable(region, at.head, vdl);
      on.durable(vdl, vcl);
    },
  };
  const receiver = openRegionReceiver(links, at, seen, placeOf(time, context));
  return {
    offer: (frames, tree) => {
      const offered = receiver.offer(frames, tree);
      if (offered.kind === 'bad') throw new Error(`frames from the primary do not check: ${offered.reason}`);
      return offered;
    },
    close: () => receiver.close(),
  };
}
