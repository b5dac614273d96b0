/**
 * Rewinds as the agent of the primary runs them: what place is meant, whether it can be had, the change of the control record, and
 * what came of it. The writer carries it out, whoever that is by then (R76); this desk only begins, watches and tells.
 */
import { randomBytes } from 'node:crypto';
import {
  type Epoch,
  endOfTime,
  epoch,
  type Fork,
  isWriteQuorum,
  type Located,
  type LocateWish,
  type Lsn,
  locateAll,
  lsn,
  mainBranch,
  nodesIn,
  pathRequest,
  pause,
  type RegionId,
  type Runtime,
  setsOf,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { changeControl } from '../control/control-link.ts';
import type { ControlReading, ControlStore } from '../control/core/control-port.ts';
import type { ControlRecord } from '../control/core/control-record.ts';
import { beginRewind } from '../control/core/rewind-record.ts';
import { type Place, parsePlace, placeForms } from '../place/core/place.ts';
import { timeText } from '../place/time-text.ts';
import { pollSettled } from '../status/poll-settled.ts';
import type { StatusSource } from '../status/region-nodes.ts';
import type { RewindReport, RewindRequest } from './core/rewind-request.ts';

/** What the desk needs of the agent that it is part of. */
export interface RewindAgent {
  /** The newest control record that was seen. */
  readonly sight: { readonly view: { readonly record: ControlRecord } | null };
  /** Asks the nodes how far they are. */
  readonly nodes: { poll(): Promise<{ readonly head: Epoch; readonly vdl: Lsn }> };
  /** Hears what was written. */
  looked(reading: ControlReading): void;
  /** Says that the record cannot be read or changed, and what to do. */
  noRecord(reason: string): string;
}

export interface RewindDeskOptions {
  readonly region: RegionId;
  readonly links: StatusSource;
  readonly store: ControlStore;
  readonly agent: RewindAgent;
  readonly runtime: Runtime;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

export interface Refused {
  readonly kind: 'refused';
  readonly code: string;
  readonly message: string;
}

export type RewindAnswer = { readonly kind: 'rewind'; readonly rewind: RewindReport } | Refused;

const keptMax = 16;
const lookEveryMs = 10;
/** Whoever asks hears of the end when it comes within this time, else that it is under way. */
const answerMs = 1_500;
/** A rewind that is not over by then is told as under way for good: its record says what became of it. */
const watchMs = 120_000;

const refused = (code: string, message: string): Refused => ({ kind: 'refused', code, message });

export class RewindDesk {
  private readonly options: RewindDeskOptions;
  private readonly kept = new Map<string, RewindReport>();
  private closed = false;

  constructor(options: RewindDeskOptions) {
    this.options = options;
  }

  private get record(): ControlRecord | null {
    return this.options.agent.sight.view?.record ?? null;
  }

  get(id: string): RewindAnswer {
    const rewind = this.kept.get(id);
    return rewind === undefined
      ? refused('UNKNOWN_REWIND', `no rewind ${id} is known to this agent, which may have been started since`)
      : { kind: 'rewind', rewind };
  }

  close(): void {
    this.closed = true;
  }

  /** Begins a rewind. Resolves when it is over, or after a moment while it is under way. Never rejects. */
  async begin(request: RewindRequest): Promise<RewindAnswer> {
    const { region, runtime, store } = this.options;
    const place = parsePlace(request.to);
    if (place === null)
      return refused('BAD_REQUEST', `to is ${placeForms}, not ${JSON.stringify(request.to)}`);
    if (request.branch !== mainBranch)
      return refused(
        'NO_REWIND_OF_BRANCHES',
        `only main can be rewound, not ${request.branch}: a branch is made anew where it should go on (sextant branch create NAME --from ${request.branch} --at …)`,
      );
    const record = this.record;
    if (record === null)
      return refused('NO_CONTROL_RECORD', this.options.agent.noRecord('it has not been read yet'));
    if (record.primary !== region)
      return refused(
        'OTHER_REGION',
        `a rewind is run by the agent of the primary, ${record.primary}; this is ${region}`,
      );
    const startMs = runtime.nowMs();
    const found = await this.find(place, record);
    if (found.kind === 'refused') return found;
    const { to } = found;
    const id = `${region}.rewind-${randomBytes(6).toString('hex')}`;
    const startedAtMs = Math.floor(runtime.wallUs() / 1_000);
    const begin: Parameters<typeof changeControl>[1] = ({ record: now }) =>
      now.epoch === record.epoch && now.primary === region
        ? beginRewind(now, { id, to: { epoch: epoch(to.epoch), lsn: lsn(to.lsn) }, startedAtMs })
        : {
            kind: 'refused',
            code: 'CHANGED',
            reason: `another reign has begun meanwhile (epoch ${now.epoch} in ${now.primary}): look where history stands, and try again`,
          };
    const changed = await changeControl(store, begin, runtime);
    if (changed.kind === 'unavailable')
      return refused('NO_CONTROL_RECORD', this.options.agent.noRecord(changed.reason));
    if (changed.kind === 'refused') return refused(changed.code, changed.reason);
    this.options.agent.looked({ kind: 'record', view: changed.view });
    const allotted = changed.view.record.epoch;
    this.options.log.info({ id, to, epoch: allotted }, 'a rewind begins');
    this.keep({
      id,
      state: 'under-way',
      branch: request.branch,
      epoch: allotted,
      to,
      left: null,
      startedAtMs,
      tookMs: null,
      reason: null,
    });
    const over = this.follow(id, startMs);
    await Promise.race([over, pause(runtime, answerMs)]);
    return this.get(id);
  }

  private keep(report: RewindReport): void {
    this.kept.set(report.id, report);
    const [oldest] = this.kept.keys();
    if (this.kept.size > keptMax && oldest !== undefined) this.kept.delete(oldest);
  }

  /** What place is meant, and whether four nodes can go there. */
  private async find(
    place: Place,
    record: ControlRecord,
  ): Promise<{ readonly kind: 'found'; readonly to: RewindReport['to'] } | Refused> {
    const { agent, runtime } = this.options;
    // A place may be named by what was acknowledged a moment ago, or by the time of it.
    const { head, vdl } = await pollSettled(
      () => agent.nodes.poll(),
      runtime,
      (known) =>
        (place.kind === 'lsn' && place.lsn < known.vdl) ||
        (place.kind === 'path' && (place.epoch !== known.head || place.lsn < known.vdl)),
    );
    if (head !== record.epoch)
      return refused('NO_WRITER', `epoch ${record.epoch} is not written yet: try again in a moment`);
    if (place.kind === 'time' && place.us > runtime.wallUs())
      return refused('AHEAD', `${timeText(place.us)} lies ahead of the clock of this agent`);
    const isHere = place.kind === 'lsn' || (place.kind === 'path' && place.epoch === head);
    if (isHere && place.lsn > vdl)
      return refused('AHEAD', `LSN ${place.lsn} lies above ${vdl}, up to where epoch ${head} is durable`);
    const wish: LocateWish = {
      head: place.kind === 'path' ? place.epoch : head,
      upTo: place.kind === 'time' ? vdl : place.lsn,
      atUs: place.kind === 'time' ? place.us : null,
    };
    const found = await this.locate(wish);
    if (found.kind !== 'located') return notFound(found, wish.head);
    if (wish.head === head && found.lsn === vdl)
      return refused(
        'SAME_PLACE',
        `LSN ${vdl} of epoch ${head} is where the database stands: nothing came after it`,
      );
    const commitTime = found.commitTimeUs === null ? null : timeText(found.commitTimeUs);
    return { kind: 'found', to: { epoch: wish.head, lsn: found.lsn, commitTime } };
  }

  /** A place that four nodes hold: fewer could not be written on. */
  private async locate(wish: LocateWish): Promise<Located> {
    const { links } = this.options;
    const sets = setsOf(links.membership);
    const answers = await locateAll(links, nodesIn(sets), wish);
    const places = [...answers.values()].flatMap((answer) => (answer.kind === 'located' ? [answer] : []));
    const place = places.sort((a, b) => b.lsn - a.lsn)[0];
    const holds = (node: Parameters<typeof answers.get>[0]): boolean => answers.get(node)?.kind === 'located';
    if (place !== undefined && isWriteQuorum(sets, holds)) return place;
    const [why] = [...answers.values()]
      .filter((answer) => answer.kind !== 'located')
      .sort((a, b) => weight(b) - weight(a));
    return why ?? { kind: 'unavailable', reason: 'no storage node answers' };
  }

  /** Waits until the record asks for the rewind no more, and looks what came of it. */
  private async follow(id: string, startMs: number): Promise<void> {
    const { runtime, log } = this.options;
    const deadline = runtime.nowMs() + watchMs;
    while (!this.closed && this.record?.rewind?.id === id) {
      if (runtime.nowMs() > deadline) return;
      await pause(runtime, lookEveryMs);
    }
    const begun = this.kept.get(id);
    if (begun === undefined || this.closed) return;
    const tookMs = Math.round(runtime.nowMs() - startMs);
    const fork = await this.forkOf(begun.epoch);
    if (fork?.left === undefined) {
      const reason =
        'four storage nodes could not go there any more: the log of the gateway that writes names them';
      this.keep({ ...begun, state: 'given-up', tookMs, reason });
      log.warn({ id, to: begun.to }, 'a rewind was given up');
      return;
    }
    const left = { epoch: fork.left, lsn: await this.endOf(fork.left) };
    this.keep({ ...begun, state: 'done', epoch: fork.epoch, tookMs, left });
    log.info({ id, to: begun.to, left, tookMs }, 'a rewind is done');
  }

  /** The fork by which it was made, by the tree of whichever node knows most; null when none was. */
  private async forkOf(since: Epoch | number): Promise<Fork | null> {
    const { links } = this.options;
    const request = pathRequest(mainBranch, null);
    const replies = await Promise.all(links.nodes.map((node) => links.request(node, request, 1_000)));
    const forks = replies.flatMap((reply) => (reply.kind === 'fetched' ? reply.forks : []));
    return forks.find(({ epoch: of, left }) => left !== undefined && of >= since) ?? null;
  }

  /** Up to where four nodes hold a path that was left. */
  private async endOf(head: Epoch): Promise<number> {
    const { links } = this.options;
    const answers = await locateAll(links, links.nodes, { head, upTo: endOfTime, atUs: null });
    const ends = [...answers.values()].flatMap((answer) => (answer.kind === 'located' ? [answer.lsn] : []));
    return ends.sort((a, b) => b - a)[3] ?? ends.at(-1) ?? lsn(0);
  }
}

/** Which reason says most to an operator. */
function weight({ kind }: Located): number {
  return { located: 0, unavailable: 1, unknownEpoch: 2, belowFloor: 3 }[kind];
}

function notFound(found: Exclude<Located, { kind: 'located' }>, head: Epoch): Refused {
  switch (found.kind) {
    case 'belowFloor':
      return refused(
        'BELOW_FLOOR',
        `that is not kept any more: the log is complete from LSN ${found.floor.lsn} of epoch ${found.floor.epoch} on (the floor). \`retention\` in the region's file says how much is kept; \`sextant restore\` makes a deployment of a backup`,
      );
    case 'unknownEpoch':
      return refused('UNKNOWN_EPOCH', `no storage node of the primary region knows epoch ${head}`);
    case 'unavailable':
      return refused('UNAVAILABLE', `four storage nodes have to hold the place, and do not: ${found.reason}`);
  }
}
