/** The control record of a new deployment, made by the agent of its first region. */
import { epoch, type RegionId } from '../../storage/core.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { JetStreamControlStore } from '../control/control-store.ts';
import type { ControlReading } from '../control/core/control-port.ts';
import type { ClusterView } from '../status/core/cluster-view.ts';
import type { RegionNodes } from '../status/region-nodes.ts';

export interface FirstRecordOptions {
  readonly region: RegionId;
  readonly replicas: number;
  readonly nodes: RegionNodes;
  readonly view: ClusterView;
  readonly store: JetStreamControlStore;
  /** The epoch that this region's nodes were filled under from a backup; null when they were not. */
  readonly restoredEpoch: number | null;
  /** A record is known, or nobody wants one any more. */
  readonly isOver: () => boolean;
  readonly looked: (reading: ControlReading) => void;
  readonly log: Logger;
}

const againMs = 500;

/**
 * Creates the control record of a new deployment. Only the first region's agent does, and only while all six of its nodes
 * are there and empty: an absent record beside existing data is a lost one, and must not start again at nothing. R67: after a
 * restore, as long as no writer has forked yet, the data is the restored one and the record begins at its epoch.
 */
export async function makeFirstRecord(options: FirstRecordOptions): Promise<void> {
  const { region, replicas, nodes, view, store, restoredEpoch, isOver, looked, log } = options;
  let told = '';
  while (!isOver()) {
    await nodes.poll();
    // This region may have lost its nodes as well; what the others say counts as much.
    const highestLocalEpoch = epoch(Math.max(nodes.highestEpoch, view.highestEpoch()));
    if (nodes.reports.every((node) => node.state !== 'down')) {
      const rebuild = restoredEpoch !== null && highestLocalEpoch === restoredEpoch;
      const outcome = await store.bootstrap({ primary: region, replicas, highestLocalEpoch, rebuild });
      if (outcome.kind === 'created' || outcome.kind === 'exists')
        looked({ kind: 'record', view: outcome.view });
      else if (JSON.stringify(outcome) !== told)
        log.error({ outcome }, 'the control record could not be created');
      told = JSON.stringify(outcome);
    }
    await new Promise((resolve) => setTimeout(resolve, againMs));
  }
}
