/** Ships from a region's nodes and receives into them, whatever the line of history, with what every lane of an agent has in common. */
import { pause, type RegionId } from '../../storage/index.ts';
import { Receiving, type ReceivingOptions } from '../replication/receiving.ts';
import type { Reign } from '../replication/reign.ts';
import { Shipping, type ShippingOptions } from '../replication/shipping.ts';
import type { RegionAgentOptions } from './region-agent-options.ts';

/** A reign of a branch that was allotted and came to nothing has sealed the nodes: they take nothing before it is written again. */
const fencedPauseMs = 5_000;

export class Lanes {
  /** How often the lane to each region has stood still since this process started. */
  readonly stalls = new Map<RegionId, number>();
  private readonly options: RegionAgentOptions;

  constructor(options: RegionAgentOptions) {
    this.options = options;
  }

  ship(
    whose: Pick<ShippingOptions, 'from' | 'secondaries' | 'remembered'> & Partial<ShippingOptions>,
    reign: Reign,
  ): Shipping {
    const { cluster, replication, runtime, log } = this.options;
    const onStalled = (to: RegionId): void => {
      this.stalls.set(to, (this.stalls.get(to) ?? 0) + 1);
      replication.onStalled(to);
    };
    const { onReplicated, ...parts } = replication;
    // Branches are told apart by their lag alone.
    const told = whose.branch === undefined && onReplicated !== undefined ? { onReplicated } : {};
    return new Shipping({ ...parts, ...told, ...whose, cluster, onStalled, runtime, log }, reign);
  }

  receive(own: Pick<ReceivingOptions, 'branch' | 'connection' | 'onOther' | 'onJoined'>): Receiving {
    const { cluster, region, links, replication, recover, telemetry, runtime, log } = this.options;
    const { openReceiver, codec } = replication;
    return new Receiving({
      cluster,
      region,
      nodes: links,
      recover: async (goal) => {
        const outcome = await recover(goal);
        if (outcome.kind === 'recovered') return outcome.outcome;
        log.warn(
          { outcome, branch: goal.branch, epoch: goal.epoch },
          'could not join the path of the primary; tries again',
        );
        if (outcome.kind === 'fenced' && own.branch !== undefined) await pause(runtime, fencedPauseMs);
        return null;
      },
      openReceiver,
      telemetry,
      log,
      runtime,
      ...(codec !== undefined && { codec }),
      ...own,
    });
  }
}
