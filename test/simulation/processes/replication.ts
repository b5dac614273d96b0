/**
 * The production shells of replication on a simulated process: what they are given, what the witness sees of what they do,
 * and what a defect makes of it.
 */
import { decodeShipped } from '../../../regions/bus/core/messages.ts';
import { noLagMemory } from '../../../regions/replication/core/lag-memory.ts';
import {
  openRegionReceiver,
  type ReceiverNews,
  Receiving,
  type RegionReceiver,
} from '../../../regions/replication/receiving.ts';
import type { Reign } from '../../../regions/replication/reign.ts';
import { type Outlet, Shipping } from '../../../regions/replication/shipping.ts';
import type { FetchSource } from '../../../storage/client/region-fetch.ts';
import type { Recovered, RecoveryGoal } from '../../../storage/quorum/core/recovery.ts';
import { splitFrames } from '../../../storage/redo/frame.ts';
import { maxLsn, regionId } from '../../../storage/redo/ids.ts';
import type { StorageRequest } from '../../../storage/wire/core/messages.ts';
import { disabledTelemetry, type Logger } from '../../../telemetry/index.ts';
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
  /** The connection that stays open for as long as the process lives. */
  readonly connection: NatsPart;
  readonly log: Logger;
};

/** Begins to ship a reign to all other regions. */
export function startShipping(host: ReplicationHost, reign: Reign): Shipping {
  const { context, nats, time, log } = host;
  const from = regionId(host.region);
  const secondaries = context.regions.filter((name) => name !== from).map(regionId);
  return new Shipping(
    {
      cluster: context.cluster,
      from,
      secondaries,
      region: logSource(host),
      connect: (purpose) => observedOutlet(nats.open(purpose), host),
      onStalled: (to) => context.witness.stalled(from, to),
      remembered: noLagMemory,
      log,
      runtime: time,
      bounds: context.bounds.shipping,
      codec: codecTwin,
    },
    reign,
  );
}

/** Begins to receive from whoever is primary. */
export function startReceiving(host: ReplicationHost, onJoined: (outcome: Recovered) => void): Receiving {
  const { context, time, connection, log } = host;
  return new Receiving({
    cluster: context.cluster,
    region: regionId(host.region),
    connection,
    recover: (goal) => recover(host, goal),
    openReceiver: (at, on) => openReceiver(host, at, on),
    onJoined,
    telemetry: disabledTelemetry,
    log,
    runtime: time,
    codec: codecTwin,
  });
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

/** Tells the witness what leaves for a secondary. */
function observedOutlet(connection: NatsPart, { context }: ReplicationHost): Outlet {
  return {
    publish: (subject, bytes) => {
      const shipped = decodeShipped(bytes);
      if (shipped.kind === 'malformed')
        throw new Error(`a shipped message cannot be read: ${shipped.reason}`);
      const { head, forks, vdl } = shipped.value;
      const to = subject.slice(subject.lastIndexOf('.') + 1);
      // The path says by itself that everything up to its last fork is durable (S7), also before the nodes do.
      context.witness.shipped(to, head, maxLsn(vdl, forks.at(-1)?.forkLsn ?? vdl));
      return connection.publish(subject, bytes);
    },
    close: () => connection.close(),
  };
}

function recover(
  { links, time, context, log }: ReplicationHost,
  goal: RecoveryGoal,
): Promise<Recovered | null> {
  const options = {
    skipsReplication: context.defects.has('skip-replication'),
    fetchBytesMax: context.bounds.fetchBytesMax,
  };
  return new Promise((resolve) => {
    new RecoveryRun(links, time, goal, options, (result) => {
      if (result.kind !== 'recovered')
        log.warn({ outcome: result, epoch: goal.epoch }, 'could not join the path of the primary');
      resolve(result.kind === 'recovered' ? result.outcome : null);
    });
  });
}

/** Tells the witness what is durable here. The defect holds credit back until the commit, as was once done. */
function openReceiver(
  { region, context, links, time }: ReplicationHost,
  at: Reign,
  on: ReceiverNews,
): RegionReceiver {
  const { witness, defects } = context;
  let committed = at.vdl;
  witness.secondaryDurable(region, at.head, at.vdl);
  const seen: ReceiverNews = {
    lost: on.lost,
    durable: (vdl, vcl) => {
      const isCommit = vdl > committed;
      committed = vdl;
      if (!isCommit && defects.has('credit-by-vdl')) return;
      witness.secondaryDurable(region, at.head, vdl);
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
