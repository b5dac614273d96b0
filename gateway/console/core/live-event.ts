/** What every open console of a gateway is told a few times a second: one value for all of them. Pure. */
import type { ClusterView, Described } from '../../../regions/core.ts';

export type LiveEvent = Described<'LiveEvent'>;

export interface LiveFacts {
  /** Who tells it. */
  readonly about: Pick<LiveEvent, 'region' | 'gateway' | 'version' | 'page' | 'jaegerUrl'>;
  readonly view: ClusterView;
  readonly readiness: Described<'Readiness'>;
  /** Bounds of the writer's histogram of latencies. */
  readonly boundsMs: readonly number[];
}

/** @param nowMs monotonic, as the view's reports were heard by. @param atMs by the wall clock. */
export function liveEvent(facts: LiveFacts, nowMs: number, atMs: number): object {
  const { about, view, readiness, boundsMs } = facts;
  const move = view.record?.move ?? null;
  const writer = view.writer(nowMs);
  const event = {
    ...about,
    atMs,
    status: view.status(nowMs),
    readiness,
    move:
      move === null
        ? null
        : { id: move.id, kind: move.kind, from: move.from, to: move.to, startedAtMs: move.startedAtMs },
    writes:
      writer?.report.writes === undefined
        ? null
        : {
            ...writer.report.writes,
            gateway: `${writer.report.region}/${writer.report.gateway}`,
            pid: writer.report.pid,
            boundsMs,
            ageMs: Math.round(nowMs - writer.atMs),
          },
    forks: forksOf(view),
    lossEpochs: view.lossEpochs(),
  };
  return event satisfies Given<LiveEvent>;
}

/** Every fork that a region has told of, by epoch: of a path longer than a report carries, its newest part. */
function forksOf(view: ClusterView): LiveEvent['forks'] {
  const byEpoch = new Map<number, LiveEvent['forks'][number]>();
  for (const { forks = [] } of view.lastReports)
    for (const { epoch, parent, forkLsn } of forks) byEpoch.set(epoch, { epoch, parent, forkLsn });
  return [...byEpoch.values()].sort((a, b) => a.epoch - b.epoch);
}

/** As it is kept: unchangeable. */
type Given<T> = T extends readonly (infer E)[]
  ? readonly Given<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Given<T[K]> }
    : T;
