/**
 * Whether a failover begins by itself, and where to (design section 13.4). A small machine without state: it only ever says
 * "begin", and everything after that is a move like any other. Every agent asks itself the same question; the one whose region
 * is the answer begins.
 *
 * R31 A primary is deposed by itself only while a majority of the other regions' agents suspect it, each by its own sight.
 */
import type { RegionId } from '../../../storage/core.ts';
import type { ControlRecord } from '../../control/core/control-record.ts';
import { lossAboveBound, mostLostMs } from '../../control/core/exposure.ts';
import type { LeaseLimits } from '../../control/core/lease.ts';
import { type Policy, whyNotAutomatic } from '../../control/core/policy.ts';
import { betterSurvivor, levelMsAgo, type Survivor } from '../../control/core/survivors.ts';
import type { Suspicion } from './suspicion.ts';

/** One of the other regions, heard lately; this agent's own among them. */
export interface Observer {
  readonly survivor: Survivor;
  readonly suspicion: Suspicion | null;
  /** It has a gateway, and enough storage nodes to write. */
  readonly canWrite: boolean;
}

export interface FailoverWatchQuestion {
  readonly region: RegionId;
  readonly regions: readonly RegionId[];
  readonly record: ControlRecord;
  readonly policy: Policy;
  readonly observers: readonly Observer[];
  readonly stillMs: number;
  readonly lease: LeaseLimits;
}

export type FailoverDecision =
  /** Nothing to do: the primary lives as far as enough agents see, or somebody acts already. */
  | { readonly kind: 'watching' }
  /** It cannot happen by itself, whatever is lost. */
  | { readonly kind: 'off'; readonly reason: string }
  /** The primary is held for lost, and a failover may not begin. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** The failover belongs to `target`; whether that is the region that asks is for it to see. */
  | { readonly kind: 'begin'; readonly target: RegionId; readonly reason: string };

/** Decides by what is known now. */
export function decideFailover(question: FailoverWatchQuestion): FailoverDecision {
  const { regions, record, policy, observers } = question;
  const off = whyNotAutomatic(policy, regions.length);
  if (off !== null) return { kind: 'off', reason: off };
  const { primary, epoch } = record;
  const others = regions.length - 1;
  const suspecting = observers.filter(
    ({ suspicion }) => suspicion?.primary === primary && suspicion.epoch === epoch,
  );
  const needed = Math.floor(others / 2) + 1;
  if (suspecting.length < needed || isUnderWay(question)) return { kind: 'watching' };
  const target = chosen(question);
  if (target === null)
    return {
      kind: 'refused',
      reason: `${primary} is held for lost, and no other region that is heard has a gateway and enough storage nodes to write: it begins once one has`,
    };
  const refusal = lossProblem(question, target);
  if (refusal !== null) return { kind: 'refused', reason: refusal };
  const seen = suspecting.map(({ survivor }) => survivor.region).join(', ');
  const why = suspecting.find(({ suspicion }) => suspicion !== null)?.suspicion?.reason ?? '';
  return {
    kind: 'begin',
    target,
    reason: `${suspecting.length} of ${others} regions (${seen}) agree: ${why}`,
  };
}

/** A failover is on its way to a region that is heard and can write; a switchover away from a lost primary is none. */
function isUnderWay({ record, observers }: FailoverWatchQuestion): boolean {
  const { move } = record;
  if (move === null || move.kind === 'switchover') return false;
  return observers.some(({ survivor, canWrite }) => canWrite && survivor.region === move.to);
}

/** The first that is preferred, else whoever holds most; what others have beyond that is fetched by the move. */
function chosen({ regions, policy, record, observers }: FailoverWatchQuestion): RegionId | null {
  const able = observers.filter(({ canWrite, survivor }) => canWrite && survivor.held !== null);
  const preferred = policy.prefer.find((name) => able.some(({ survivor }) => survivor.region === name));
  if (preferred !== undefined) return preferred;
  const inOrder = regions.flatMap((name) => able.filter(({ survivor }) => survivor.region === name));
  const first = inOrder[0]?.survivor.region;
  if (first === undefined) return null;
  const survivors = inOrder.map(({ survivor }) => survivor);
  return betterSurvivor({ target: first, record, survivors, sacrifice: [] })?.region ?? first;
}

function lossProblem(question: FailoverWatchQuestion, target: RegionId): string | null {
  const { policy, record, regions, observers, stillMs, lease } = question;
  if (policy.maxLossMs === null) return null;
  const survivors = observers.map(({ survivor }) => survivor);
  const best = betterSurvivor({ target, record, survivors, sacrifice: [] })?.region ?? target;
  const level = levelMsAgo({ target: best, record, survivors, sacrifice: [] });
  const isEverybodyHeard = observers.length === regions.length - 1;
  const lostMs = mostLostMs({ levelMsAgo: level, stillMs, lease, policy, isEverybodyHeard });
  return lostMs !== null && lostMs <= policy.maxLossMs
    ? null
    : lossAboveBound(target, lostMs, policy.maxLossMs);
}
