/** The part of a gateway that opens branches when somebody asks for one. */
import { type Branch, owedBytes } from '../../regions/index.ts';
import { monotonicMs, type RegionId } from '../../storage/index.ts';
import type { BranchParts } from '../database/branch-database.ts';
import { BranchDriver } from '../database/branch-driver.ts';
import { Databases } from '../database/databases.ts';
import { collector } from '../engine/garbage.ts';
import type { Drainable } from '../reign/drain.ts';
import type { WriterWatch, WriterWatchOptions } from '../session/writer-watch.ts';
import type { ControlPart } from './open-control.ts';
import type { GatewaySetup } from './setup.ts';
import type { TelemetryPart } from './start-telemetry.ts';
import { makeVolume, recoveryTrace, tellNodes, type VolumePart, watchProofs } from './start-volume.ts';

/** What drains with main: the branches, which are there only after it. */
export class Beside {
  private databases: Databases | null = null;

  join(databases: Databases): void {
    this.databases = databases;
  }

  get writing(): readonly Drainable[] {
    return this.databases?.writing ?? [];
  }

  haveArrivedIn(region: RegionId): boolean {
    return this.databases?.haveArrivedIn(region) ?? true;
  }
}

/** @param watchWriter makes the watch over who takes writes of a database. */
export function startBranches(
  setup: GatewaySetup,
  control: ControlPart,
  observed: TelemetryPart,
  storage: VolumePart,
  main: WriterWatch,
  watchWriter: (about: Pick<WriterWatchOptions, 'phase' | 'isOpen' | 'want'>) => WriterWatch,
): Databases {
  const { options, limits } = setup;
  const { role, volume, sessions, reserve } = storage;
  const { tracer, counts } = observed.main;
  return new Databases({
    role,
    reserve,
    main: { volume, sessions, watch: main, tracer, counts },
    region: setup.config.region,
    open: (branch) => branchParts(branch, setup, control, observed, storage, watchWriter),
    limits,
    collectGarbage: collector(),
    log: options.log,
  });
}

function branchParts(
  branch: Branch,
  setup: GatewaySetup,
  control: ControlPart,
  observed: TelemetryPart,
  { nodes, reserve, role, volume: main }: VolumePart,
  watchWriter: Parameters<typeof startBranches>[5],
): BranchParts {
  const { options, limits, me } = setup;
  const { name, origin } = branch;
  const line = { branch: name, origin };
  const about = observed.of(name);
  const { tracer, commits, counts } = about;
  const volume = makeVolume(setup, nodes, about, observed, reserve, line, main);
  return {
    volume,
    tracer,
    commits,
    counts,
    untellNodes: tellNodes(nodes, about),
    watch: watchWriter,
    driver: (onChange) =>
      new BranchDriver({
        line,
        me,
        main: role,
        store: control.store,
        nodes,
        volume,
        watchProofs: (onProof) => watchProofs(setup, control, onProof),
        answerWaitMs: limits.writeWaitMs,
        owedBytes: (record, named) => owedBytes(record, named, control.view.recentReports(monotonicMs())),
        metrics: observed.metrics,
        log: options.log,
        trace: (epoch) => recoveryTrace(setup, observed, about, { epoch, operation: null }),
        onChange,
      }),
  };
}
