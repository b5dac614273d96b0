/** Requests to the agents of regions, over NATS. */

import {
  type AgentReply,
  type AgentRequest,
  agentReplySchema,
  type LossAnswer,
  type LossReport,
  mergeLosses,
  type NatsConnection,
  parseJson,
  subjectsOf,
  type Unanswered,
  unansweredOf,
} from '../../regions/index.ts';
import type { RegionId } from '../../storage/core.ts';

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

  /**
   * Asks one agent after another until one answers what is asked of any of them. Only for requests that may be carried out
   * twice: one that did not answer in time may have acted.
   */
  async askAny(regions: readonly RegionId[], request: AgentRequest): Promise<AgentAnswer> {
    let last: AgentAnswer = { kind: 'silent', mayHaveActed: false, reason: 'no agent is known' };
    for (const region of regions) {
      last = await this.ask(region, request);
      if (last.kind === 'reply' && !isAway(last.reply)) return last;
    }
    return last;
  }

  /**
   * What all regions that answer know of lost writes, one report per reign, and whose answer is missing or not complete yet.
   * @param epoch the newest epoch this gateway knows of.
   */
  async losses(
    regions: readonly RegionId[],
    epoch: number,
  ): Promise<{
    readonly reports: readonly LossReport[];
    readonly unreachable: readonly RegionId[];
    readonly unanswered: readonly Unanswered[];
  }> {
    const unreachable: RegionId[] = [];
    const found: LossReport[] = [];
    const answers: LossAnswer[] = [];
    await Promise.all(
      regions.map(async (region) => {
        const answer = await this.ask(region, { kind: 'losses' });
        if (answer.kind === 'reply' && answer.reply.kind === 'losses') {
          const { reports, epoch: knows = 0, lookedUnder = 0, branchesToLook } = answer.reply;
          found.push(...reports);
          answers.push({ region, epoch: knows, lookedUnder, branchesToLook });
        } else {
          unreachable.push(region);
        }
      }),
    );
    return { reports: mergeLosses(found), unreachable, unanswered: unansweredOf(answers, epoch) };
  }
}

/** Whether another agent may know better: this one cannot read the control record. */
const isAway = (reply: AgentReply): boolean => reply.kind === 'refused' && reply.code === 'NO_CONTROL_RECORD';
