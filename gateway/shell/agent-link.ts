/** Requests to the agents of regions, over NATS. */

import { type LossReport, mergeLosses } from '../../regions/core/loss-report.ts';
import { parseJson, subjectsOf } from '../../regions/core/messages.ts';
import { type AgentReply, type AgentRequest, agentReplySchema } from '../../regions/core/operations.ts';
import type { NatsConnection } from '../../regions/shell/nats-connection.ts';
import type { RegionId } from '../../storage/core/ids.ts';

export type AgentAnswer =
  | { readonly kind: 'reply'; readonly reply: AgentReply }
  /** Nobody answers; `mayHaveActed` when the request was on its way. */
  | { readonly kind: 'silent'; readonly mayHaveActed: boolean; readonly reason: string };

export class AgentLink {
  private readonly nats: NatsConnection;
  private readonly cluster: string;
  private readonly answerMs: number;

  constructor(nats: NatsConnection, cluster: string, answerMs: number) {
    this.nats = nats;
    this.cluster = cluster;
    this.answerMs = answerMs;
  }

  async ask(region: RegionId, request: AgentRequest): Promise<AgentAnswer> {
    const answer = await this.nats.request(
      subjectsOf(this.cluster).agent(region),
      Buffer.from(JSON.stringify(request)),
      this.answerMs,
    );
    switch (answer.kind) {
      case 'reply': {
        const reply = parseJson(agentReplySchema, Buffer.from(answer.data).toString('utf8'));
        if (reply.kind === 'ok') return { kind: 'reply', reply: reply.value };
        return { kind: 'silent', mayHaveActed: true, reason: `its answer cannot be read: ${reply.reason}` };
      }
      case 'no-responders':
        return { kind: 'silent', mayHaveActed: false, reason: 'its agent is not connected' };
      case 'disconnected':
      case 'too-large':
        return { kind: 'silent', mayHaveActed: false, reason: 'this gateway is not connected to NATS' };
      case 'timeout':
        return {
          kind: 'silent',
          mayHaveActed: true,
          reason: `its agent did not answer within ${this.answerMs} ms`,
        };
      case 'failed':
        return { kind: 'silent', mayHaveActed: true, reason: answer.reason };
    }
  }

  /** What all regions that answer know of lost writes, one report per reign. */
  async losses(
    regions: readonly RegionId[],
  ): Promise<{ readonly reports: readonly LossReport[]; readonly unreachable: readonly RegionId[] }> {
    const unreachable: RegionId[] = [];
    const found: LossReport[] = [];
    await Promise.all(
      regions.map(async (region) => {
        const answer = await this.ask(region, { kind: 'losses' });
        if (answer.kind === 'reply' && answer.reply.kind === 'losses') found.push(...answer.reply.reports);
        else unreachable.push(region);
      }),
    );
    return { reports: mergeLosses(found), unreachable };
  }
}
