/** A drill's questions to the admin API of a deployment, wherever that is: each to any gateway that answers. */
import { z } from 'zod';
import { lossReportSchema } from '../../moves/core/loss-report.ts';
import { type Operation, operationSchema } from '../../moves/core/operations.ts';
import { type LossLook, lossListSchema } from '../core/losses-since.ts';
import { type StatusSight, statusSightSchema } from '../core/status-sight.ts';
import type { Begun, RegionAddress } from './drill-target.ts';

/** One request with a JSON answer, as the commands make them. */
export type Ask = (
  base: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: unknown,
  timeoutMs?: number,
) => Promise<
  | { readonly kind: 'ok'; readonly body: unknown }
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly code: string | undefined;
      readonly message: string;
    }
  | { readonly kind: 'unreachable'; readonly message: string }
>;

/** A region's address, and what its admin API asks for. */
export interface AdminAddress extends RegionAddress {
  readonly headers: Readonly<Record<string, string>>;
}

const askMs = 1_000;
const beginMs = 15_000;
const probeMs = 400;
/** So many times in a row an address has to give no answer before its region counts as dumb. */
const dumbAfter = 3;
const policySchema = z.looseObject({ automatic: z.boolean() });

export class AdminSight {
  readonly #regions: readonly AdminAddress[];
  readonly #ask: Ask;
  readonly #silence = new Map<string, number>();

  constructor(regions: readonly AdminAddress[], ask: Ask) {
    this.#regions = regions;
    this.#ask = ask;
  }

  async status(avoided?: string): Promise<StatusSight | null> {
    return await this.#first(avoided, '/v1/status', statusSightSchema);
  }

  /** Regions whose gateway, and agent where it is known, have given no answer a few times in a row. */
  async dumb(): Promise<readonly string[]> {
    await Promise.all(
      this.#regions.map(async ({ region, gateway, agent, headers }) => {
        const answers = await Promise.all(
          [gateway, agent].map(
            async (base) =>
              base !== null &&
              (await this.#ask(base, '/healthz', headers, undefined, probeMs)).kind !== 'unreachable',
          ),
        );
        this.#silence.set(region, answers.some(Boolean) ? 0 : (this.#silence.get(region) ?? 0) + 1);
      }),
    );
    return [...this.#silence].filter(([, times]) => times >= dumbAfter).map(([region]) => region);
  }

  /** The target's gateway is asked first. Another one only when that cannot have been reached: a move begins once. */
  async begin(kind: 'switchover' | 'failover', to: string): Promise<Begun> {
    const body = kind === 'switchover' ? { target: to } : { target: to, allowDataLoss: true };
    let message = 'no gateway is known';
    for (const { gateway, headers } of this.#order(undefined, to)) {
      const answer = await this.#ask(gateway, `/v1/${kind}`, headers, body, beginMs);
      if (answer.kind === 'refused')
        return { kind: 'refused', code: answer.code ?? `HTTP_${answer.status}`, message: answer.message };
      if (answer.kind === 'ok') {
        const parsed = operationSchema.safeParse(answer.body);
        if (parsed.success) return { kind: 'begun', operation: parsed.data };
        return { kind: 'refused', code: 'UNREADABLE', message: 'an operation this version cannot read' };
      }
      message = answer.message;
      if (!/ECONNREFUSED/.test(message)) break;
    }
    return { kind: 'unheard', message };
  }

  async operation(id: string): Promise<Operation | null> {
    return await this.#first(undefined, `/v1/operations/${encodeURIComponent(id)}`, operationSchema);
  }

  /** False too where the deployment knows of no policy. */
  async failsOverByItself(): Promise<boolean> {
    const policy = await this.#first(undefined, '/v1/policy', policySchema);
    return policy?.automatic ?? false;
  }

  async losses(avoided?: string): Promise<LossLook | null> {
    const list = await this.#first(avoided, '/v1/losses', lossListSchema);
    if (list === null) return null;
    const reports = await Promise.all(
      list.losses.map(({ orphanEpoch }) =>
        this.#first(avoided, `/v1/losses/${orphanEpoch}`, lossReportSchema),
      ),
    );
    const { unreachable, unanswered } = list;
    const whole = reports.filter((report) => report !== null);
    return whole.length < reports.length ? null : { reports: whole, unreachable, unanswered };
  }

  #order(avoided: string | undefined, first?: string): readonly AdminAddress[] {
    const rank = ({ region }: AdminAddress): number => (region === first ? -1 : region === avoided ? 1 : 0);
    return this.#regions.toSorted((a, b) => rank(a) - rank(b));
  }

  /** The first answer that can be read. */
  async #first<T>(avoided: string | undefined, path: string, schema: z.ZodType<T>): Promise<T | null> {
    for (const { gateway, headers } of this.#order(avoided)) {
      const answer = await this.#ask(gateway, path, headers, undefined, askMs);
      const parsed = answer.kind === 'ok' ? schema.safeParse(answer.body) : null;
      if (parsed?.success === true) return parsed.data;
    }
    return null;
  }
}
