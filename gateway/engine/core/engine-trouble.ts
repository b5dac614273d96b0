/** Whether an engine of a database cannot start: what its readiness goes by. Pure. */
import type { EngineNews } from './engine-protocol.ts';

type EngineKind = 'writer' | 'reader';

/** A start that failed counts for so long: who is told to go elsewhere would never have it tried again. */
const troubleMs = 10_000;

export class EngineTrouble {
  private readonly failed = new Map<EngineKind, { readonly reason: string; readonly atMs: number }>();

  heard(engine: EngineKind, news: EngineNews, nowMs: number): void {
    if (news.kind === 'started') this.failed.delete(engine);
    else if (news.kind === 'notStarted') this.failed.set(engine, { reason: news.reason, atMs: nowMs });
  }

  /** Why an engine could not start when it was last tried, a short while ago; null when none failed. In words for an operator. */
  reason(nowMs: number): string | null {
    for (const [engine, { reason, atMs }] of this.failed) {
      const does = engine === 'writer' ? 'writes' : 'reads';
      if (nowMs - atMs < troubleMs) return `the PostgreSQL engine that ${does} cannot start: ${reason}`;
    }
    return null;
  }
}
