/** What was acknowledged anywhere by now: asked of the writer, who says how far its volume is durable. */
import { type Lsn, monotonicMs } from '../../storage/index.ts';
import type { ForwardClient } from '../forward/forward-client.ts';
import { adviseFailure } from '../sql/errors.ts';
import type { SqlOutcome } from '../sql/sql.ts';
import type { ServiceLimits } from './core/service-limits.ts';
import type { Database } from './database.ts';

/** Between two questions to a writer that did not answer. */
const retryMs = 20;

export interface GlobalPointParts {
  readonly database: Database;
  readonly forward: ForwardClient;
}

/**
 * Up to where everything of the database was durable after this was called; null when there is no one to ask, or it is this gateway.
 * @param sinceMs when the wait for a writer began.
 */
export async function globalPoint(
  { database, forward }: GlobalPointParts,
  sinceMs: number,
): Promise<Lsn | null> {
  const { watch, branch } = database;
  for (;;) {
    if (watch.place() === 'here') return null;
    const left = watch.patienceMs(sinceMs, monotonicMs());
    if (left <= 0) return null;
    const writer = watch.remote();
    const point = writer === null ? null : await forward.position(writer, branch, left);
    if (point?.kind === 'position') return point.vdl;
    watch.want();
    await watch.next(Math.min(left, writer === null ? left : retryMs));
  }
}

export interface SeesAllParts extends GlobalPointParts {
  readonly limits: Pick<ServiceLimits, 'readWaitMs'>;
}

/** Resolves when this region shows everything that was acknowledged anywhere before now, or with why it does not. */
export async function seesAll(parts: SeesAllParts): Promise<SqlOutcome<null>> {
  const { database, limits } = parts;
  const { watch, volume } = database;
  const sinceMs = monotonicMs();
  for (;;) {
    const point = await globalPoint(parts, sinceMs);
    if (point === null && watch.place() !== 'here') return { ok: false, error: watch.reason() };
    const reached = await volume.reached(point ?? volume.pointFor('global'), limits.readWaitMs);
    if (!reached)
      return adviseFailure(
        'SEXTANT_STORAGE_UNAVAILABLE',
        `This region has not reached LSN ${point} within readWaitMs = ${limits.readWaitMs}`,
      );
    if (point !== null || watch.place() === 'here') return { ok: true, value: null };
  }
}
