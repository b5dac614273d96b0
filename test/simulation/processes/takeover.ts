/** A simulated gateway looks after the writer of its region as a real one does, and takes its place. */
import { defaultDoubtLimits, type WriterAnswer } from '../../../gateway/reign/core/writer-doubt.ts';
import type { RoleDriver } from '../../../gateway/reign/role-driver.ts';
import { Takeover } from '../../../gateway/reign/takeover.ts';
import type { Holder } from '../../../regions/control/core/control-record.ts';
import { regionId } from '../../../storage/redo/ids.ts';
import type { SimContext, SimRuntime } from '../deployment/sim-types.ts';
import { silentLog } from '../ports/log.ts';
import type { RuntimeTwin } from '../ports/runtime.ts';
import { sealing } from './drivers.ts';
import type { RegionLinks } from './region-links.ts';

export interface SimTakeoverOptions {
  readonly runtime: SimRuntime;
  readonly context: SimContext;
  readonly time: RuntimeTwin;
  readonly links: RegionLinks;
  readonly region: string;
  readonly me: Holder;
  readonly role: RoleDriver;
  readonly isConnected: () => boolean;
  /** Whether that gateway of the region gives a sign of life. */
  readonly ask: (writer: Holder, waitMs: number) => Promise<WriterAnswer>;
}

export class SimTakeover {
  private readonly takeover: Takeover;

  constructor(options: SimTakeoverOptions) {
    const { runtime, context, time, links, region, me, role } = options;
    this.takeover = new Takeover({
      region: regionId(region),
      me,
      role: {
        get phase() {
          return role.phase;
        },
        get record() {
          return role.record;
        },
        holderFenced(reign) {
          context.witness.fenced(region, reign);
          role.holderFenced(reign);
        },
      },
      nodes: sealing(links, time, context, region),
      ask: options.ask,
      isConnected: options.isConnected,
      metrics: { takenOver: () => undefined },
      log: silentLog,
      // Doubt that comes sooner than in a real gateway meets more writers that live.
      limits: {
        ...defaultDoubtLimits,
        answerMs: 200,
        silentMs: 300 + runtime.random.stream('doubt').below(1_300),
      },
      runtime: time,
    });
  }

  start(): void {
    this.takeover.start();
  }
}
