/**
 * Keeps the leader of the control stream out of the primary region (`core/leader-placement.ts`). From nats-server 2.11 on a
 * step-down takes the name of the server that is to lead; an older one refuses any body, and is asked without one, until
 * the leader happens to be elsewhere. A leader that answers with an older record than was seen is asked to step down, too: a
 * server whose disk failed was seen to lead like that, and no writer could claim.
 */
import { monotonicMs, type RegionId } from '../../../storage/index.ts';
import type { Logger } from '../../../telemetry/index.ts';
import { controlStream } from '../../bus/core/control-subjects.ts';
import type { NatsConnection } from '../../bus/nats-connection.ts';
import { jetStreamCode, jsonBytes, parseSuccess } from '../control-store-wire.ts';
import type { ControlRecord } from '../core/control-record.ts';
import { LeaderPlacement, StaleLeader } from './core/leader-placement.ts';
import { parseGroup } from './stream-group.ts';

export interface ControlLeaderOptions {
  /** Not owned. */
  readonly connection: Pick<NatsConnection, 'request'>;
  readonly cluster: string;
  readonly region: RegionId;
  readonly regions: readonly RegionId[];
  /** How long the leader has answered with an older record than was seen; see `JetStreamControlStore`. */
  readonly staleForMs: () => number;
  /** The newest record, and null while it cannot be read. */
  readonly record: () => ControlRecord | null;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

const answerMs = 1_500;

export class ControlLeader {
  private readonly options: ControlLeaderOptions;
  private readonly placement: LeaderPlacement;
  private readonly stale = new StaleLeader();
  private readonly stream: string;
  private looking = false;

  constructor(options: ControlLeaderOptions) {
    this.options = options;
    this.placement = new LeaderPlacement(options.region, options.regions);
    this.stream = controlStream(options.cluster);
  }

  /** Looks if it is time to, and moves the leader if that is wanted. Called every `lookEveryMs`; resolves when it is done. */
  async look(): Promise<void> {
    if (this.looking) return;
    const { record, staleForMs } = this.options;
    const isStale = this.stale.looked(staleForMs(), monotonicMs());
    if (!isStale && !this.placement.isDue(record(), monotonicMs())) return;
    this.looking = true;
    await (isStale ? this.endStale(staleForMs()) : this.lookNow());
    this.looking = false;
  }

  /** Another server of the stream has what this one lacks: what was seen was stored by a majority. */
  private async endStale(staleForMs: number): Promise<void> {
    const outcome = await this.ask(new Uint8Array());
    this.options.log.warn(
      { staleForMs: Math.round(staleForMs), outcome: outcome?.reason ?? 'stepped down' },
      'the leader of the control stream answers with an older record than was seen: it is asked to step down; if that does not help, start that NATS server again',
    );
  }

  private async lookNow(): Promise<void> {
    const { connection, record, log } = this.options;
    const answer = await connection.request(`$JS.API.STREAM.INFO.${this.stream}`, jsonBytes({}), answerMs);
    if (answer.kind !== 'reply') return;
    const group = parseGroup(answer.data);
    // Things may have changed while it was asked.
    if (group.kind !== 'ok' || !this.placement.isDue(record(), monotonicMs())) return;
    const to = this.placement.looked(group.value, monotonicMs());
    if (to === null) return;
    const from = group.value.leader;
    const outcome = await this.stepDown(to);
    if (outcome === null)
      log.info({ from, to }, 'the leader of the control stream leaves the primary region');
    else log.warn({ from, to, outcome }, 'the leader of the control stream did not leave the primary region');
  }

  /** @returns null when the leader has stepped down, else why not. */
  private async stepDown(to: string): Promise<string | null> {
    const named = await this.ask(jsonBytes({ placement: { preferred: to } }));
    const isOld = named !== null && named.code === jetStreamCode.badRequest;
    const outcome = isOld ? await this.ask(new Uint8Array()) : named;
    return outcome?.reason ?? null;
  }

  private async ask(body: Uint8Array): Promise<{ readonly code: number; readonly reason: string } | null> {
    const { connection } = this.options;
    const answer = await connection.request(`$JS.API.STREAM.LEADER.STEPDOWN.${this.stream}`, body, answerMs);
    if (answer.kind !== 'reply') return { code: 0, reason: answer.kind };
    const reply = parseSuccess(answer.data);
    switch (reply.kind) {
      case 'ok':
        return null;
      case 'error':
        return { code: reply.error.err_code, reason: reply.error.description };
      case 'malformed':
        return { code: 0, reason: reply.reason };
    }
  }
}
