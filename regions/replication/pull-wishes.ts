/** Wishes of this region for the redo of survivors: at most one in half a second to each. */
import type { RegionId, Runtime } from '../../storage/index.ts';
import { encodePull, subjectsOf } from '../bus/core/messages.ts';
import type { NatsConnection } from '../bus/nats-connection.ts';

const pullEveryMs = 500;

export interface PullWishesOptions {
  readonly cluster: string;
  readonly region: RegionId;
  readonly nats: Pick<NatsConnection, 'publish'>;
  readonly runtime: Runtime;
}

export class PullWishes {
  private readonly options: PullWishesOptions;
  private readonly saidAtMs = new Map<RegionId, number>();

  constructor(options: PullWishesOptions) {
    this.options = options;
  }

  say(from: RegionId): void {
    const { cluster, region, nats, runtime } = this.options;
    const nowMs = runtime.nowMs();
    if (nowMs - (this.saidAtMs.get(from) ?? Number.NEGATIVE_INFINITY) < pullEveryMs) return;
    this.saidAtMs.set(from, nowMs);
    nats.publish(subjectsOf(cluster).pull(from), encodePull(region));
  }
}
