/**
 * Which gateway a new connection to an endpoint is handed to. Pure. The endpoint of the writer leads to the gateway that writes,
 * in whatever region it is; that of readers to the gateways of this region, each connection to the one that has the fewest.
 * Any gateway takes any statement: where the best one is not to be had, another one serves, and is only slower.
 *
 * R79. A connection is handed to a gateway that is known not to answer only when no other is left; connections of one that has
 *      not answered for `cutMs` are cut, so that their clients come back and find another; never one that was handed over later
 *      than that: where no gateway answers, it may be the first that is served. A move of the writer cuts none.
 */
import type { WriterPhase } from '../../control/writer/core/writer-role-events.ts';

export type EndpointKind = 'writer' | 'reader';

/** What came of asking a gateway how it is. */
export type Probe =
  | {
      readonly kind: 'answered';
      readonly ready: boolean;
      readonly phase: WriterPhase;
      readonly epoch: number;
    }
  /** Nobody listens there: its process has ended. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'silent' };

export interface KnownGateway {
  /** `<region>/<gateway>`. */
  readonly id: string;
  readonly region: string;
  /** `host:port`, or the origin of a proxy. */
  readonly address: string;
  /** Where it takes PostgreSQL clients, `host:port`; left out where it takes none. */
  readonly postgres?: string | undefined;
}

export const endpointLimits = {
  /** From one look at the gateways to the next. */
  lookMs: 250,
  /** A question that is not answered for so long counts as silence. */
  answerMs: 750,
  /** A gateway that has said nothing for so long, or has ended, loses its connections. */
  cutMs: 3_000,
  /** A connection that finds no gateway waits for one so long. */
  waitMs: 10_000,
} as const;

/** How a gateway is, as far as the endpoint has heard. */
export type GatewayState = 'writing' | 'ready' | 'unready' | 'silent' | 'unasked';

/** A gateway as the endpoint sees it. */
export interface GatewaySight {
  readonly id: string;
  readonly state: GatewayState;
  /** Handed to it, and open. */
  readonly connections: number;
}

interface Sight {
  readonly region: string;
  probe: Probe | null;
  /** Questions in turn without an answer. */
  misses: number;
  /** Since when it has not answered; null while it does. */
  awaySinceMs: number | null;
  connections: number;
}

/** One silence may be a pause of the machine. */
const missesMax = 2;

export class EndpointChoice {
  private readonly region: string;
  private readonly sights = new Map<string, Sight>();
  private turn = 0;

  /** @param region that of the endpoint. */
  constructor(region: string) {
    this.region = region;
  }

  /** Every gateway that there is now, as far as was heard. One that is away keeps its place while it has connections. */
  know(gateways: readonly KnownGateway[]): void {
    for (const { id, region } of gateways) {
      if (this.sights.has(id)) continue;
      this.sights.set(id, { region, probe: null, misses: 0, awaySinceMs: null, connections: 0 });
    }
    const known = new Set(gateways.map(({ id }) => id));
    for (const [id, sight] of this.sights)
      if (!known.has(id) && sight.connections === 0) this.sights.delete(id);
  }

  probed(id: string, probe: Probe, nowMs: number): void {
    const sight = this.sights.get(id);
    if (sight === undefined) return;
    if (probe.kind === 'answered') {
      sight.probe = probe;
      sight.misses = 0;
      sight.awaySinceMs = null;
      return;
    }
    sight.misses += 1;
    sight.awaySinceMs ??= nowMs;
    if (probe.kind === 'refused' || sight.misses >= missesMax) sight.probe = probe;
  }

  /** A gateway refused a connection: nothing more is handed to it until it answers again. */
  refused(id: string, nowMs: number): void {
    this.probed(id, { kind: 'refused' }, nowMs);
  }

  connected(id: string): void {
    const sight = this.sights.get(id);
    if (sight !== undefined) sight.connections += 1;
  }

  disconnected(id: string): void {
    const sight = this.sights.get(id);
    if (sight !== undefined) sight.connections -= 1;
  }

  /** Whether a connection that was handed to that gateway at `sinceMs` is to be cut. */
  isLost(id: string, sinceMs: number, nowMs: number): boolean {
    const awaySinceMs = this.sights.get(id)?.awaySinceMs ?? null;
    return awaySinceMs !== null && nowMs - Math.max(awaySinceMs, sinceMs) >= endpointLimits.cutMs;
  }

  /** Connections handed to that gateway which are still open. */
  connectionsOf(id: string): number {
    return this.sights.get(id)?.connections ?? 0;
  }

  /** Every gateway that is known. */
  get gateways(): readonly GatewaySight[] {
    return [...this.sights].map(([id, sight]) => ({
      id,
      state: this.stateOf(sight),
      connections: sight.connections,
    }));
  }

  private stateOf(sight: Sight): GatewayState {
    const { probe } = sight;
    if (probe === null) return 'unasked';
    if (probe.kind !== 'answered') return 'silent';
    if (this.isWriter(sight)) return 'writing';
    return probe.ready ? 'ready' : 'unready';
  }

  /**
   * The gateway for a new connection; null when none is left.
   * @param tried those that the connection was handed to in vain.
   */
  pick(kind: EndpointKind, tried: ReadonlySet<string>): string | null {
    const left = [...this.sights].filter(([id]) => !tried.has(id));
    const ranked = left.map(([id, sight]) => ({ id, sight, rank: this.rank(kind, sight) }));
    const best = Math.min(...ranked.map(({ rank }) => rank));
    const equal = ranked.filter(({ rank }) => rank === best);
    const fewest = Math.min(...equal.map(({ sight }) => sight.connections));
    const candidates = equal.filter(({ sight }) => sight.connections === fewest);
    this.turn += 1;
    return candidates[this.turn % candidates.length]?.id ?? null;
  }

  /** The lower, the better. */
  private rank(kind: EndpointKind, sight: Sight): number {
    const { probe, region } = sight;
    const away = region === this.region ? 0 : 1;
    // Who has not been asked yet may be well; who does not answer is the last resort.
    if (probe === null) return 40 + away;
    if (probe.kind !== 'answered') return 60 + away;
    if (kind === 'writer' && this.isWriter(sight)) return 0;
    // A gateway of the writer's region that is not ready holds writes until there is a writer again.
    if (!probe.ready) return 20 + away;
    if (kind === 'writer') return 10 + away;
    // The writer has enough to do; where it is the only one, it serves reads, too.
    return (away === 1 ? 30 : 10) + (this.isWriter(sight) ? 1 : 0);
  }

  /** Of two that say that they write, the one with the newer reign. */
  private isWriter({ probe }: Sight): boolean {
    if (probe?.kind !== 'answered' || probe.phase !== 'writing') return false;
    return [...this.sights.values()].every(
      (other) =>
        other.probe?.kind !== 'answered' ||
        other.probe.phase !== 'writing' ||
        other.probe.epoch <= probe.epoch,
    );
  }
}
