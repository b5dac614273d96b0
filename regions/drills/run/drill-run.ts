/**
 * Runs a drill: phase by phase as `drill-phases.ts` has them, on whatever deployment the target is. What is broken is noted
 * before it is broken, so that it is healed however the drill ends.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Operation } from '../../moves/core/operations.ts';
import type { DrillRequest } from '../core/drill-kinds.ts';
import { afterPhase, type DrillEvent, type DrillState, isOver } from '../core/drill-phases.ts';
import { type Deed, type DrillPlan, inWords } from '../core/drill-plan.ts';
import type { Check, DrillReport } from '../core/drill-report.ts';
import { accountFor, type LedgerAccount } from '../core/ledger-account.ts';
import { type LossLook, lossesSince } from '../core/losses-since.ts';
import { type DrillFacts, type MovePhase, reportOf, stopwatchRegions } from '../core/report-of.ts';
import {
  type OutsideSight,
  type StatusSight,
  signSeen,
  unwell,
  unwellUnderLoad,
} from '../core/status-sight.ts';
import { acknowledgements } from '../core/stopwatch.ts';
import { dataChecks, noneFailed, steadyCheck, unserved } from '../core/verdict.ts';
import { drainMs, type Load } from '../load/load-link.ts';
import { drillClock, isoOf } from '../load/machine-clock.ts';
import type { DrillLog } from './drill-log.ts';
import { failOver, type MoveWatch, movedByPolicy, moveEnded, switchOver } from './drill-moves.ts';
import type { DrillTarget } from './drill-target.ts';
import type { Prepared } from './preflight.ts';

export interface RunOptions {
  readonly id: string;
  readonly request: DrillRequest;
  readonly target: DrillTarget;
  readonly prepared: Prepared;
  readonly load: Load;
  readonly log: DrillLog;
  /** Aborted when somebody wants the drill to stop: what is broken is healed first. */
  readonly signal: AbortSignal;
  readonly traceId: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: Readonly<Record<string, string>>;
  /** What is left out is as usual. */
  readonly patience?: Partial<Patience>;
}

/** How long is waited for each thing before its phase has failed. */
export interface Patience {
  /** The fault is seen from outside. */
  readonly seenMs: number;
  /** A write is acknowledged. */
  readonly backMs: number;
  /** Every region is there and follows, or is level. */
  readonly wholeMs: number;
  /** A policy moves the primary. */
  readonly policyMs: number;
  /** Data that do not fit are looked at again: what was shipped last may not be shown yet. */
  readonly settleMs: number;
}

const patienceDefault: Patience = {
  seenMs: 15_000,
  backMs: 60_000,
  wholeMs: 150_000,
  policyMs: 60_000,
  settleMs: 20_000,
};
const pollMs = 50;
/** Under load a secondary that is this late counts as following. */
const followingLagMs = 1_500;
/** Clients write for so long on each side of a move back, so that its pause can be seen. */
const besideMoveMs = 1_000;

/** What follows the preflight. */
type RunPhase = Exclude<DrillState, 'preflight' | 'ended' | 'refused'>;

/** A check did not hold; it stands among the checks already. */
class CheckFailed extends Error {
  override readonly name = 'CheckFailed';
}

export class DrillRun {
  readonly #options: RunOptions;
  readonly #plan: DrillPlan;
  readonly #patience: Patience;
  readonly #checks: Check[] = [];
  /** How to undo what is broken now, the last first. */
  readonly #undo: Deed[] = [];
  /** Until when the signal counts; healing goes on whatever comes. */
  #signal: AbortSignal;
  #before: OutsideSight & { readonly status: StatusSight | null } = { dumb: [], restarts: {}, status: null };
  #faultAtMs: number | null = null;
  #detectedAtMs: number | null = null;
  #watchedUntilMs: number | null = null;
  #moveAskedAtMs: number | null = null;
  #movePhases: readonly MovePhase[] = [];
  #failback: DrillFacts['failback'] = null;
  #account: LedgerAccount | null = null;
  #dataChecks: readonly Check[] = [];
  /** The newest move that was begun. */
  #move: Operation | null = null;
  /** The primary is, or may be, where it was not before. */
  #moved: boolean = false;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#plan = options.prepared.plan;
    this.#patience = { ...patienceDefault, ...options.patience };
    this.#signal = options.signal;
  }

  /** Runs all that follows the preflight. */
  async run(): Promise<DrillReport> {
    const { log, load, target } = this.#options;
    log.sample(() => target.status(this.#plan.region));
    let state: DrillState = afterPhase('preflight', 'passed');
    let interrupted = false;
    while (!isOver(state) && state !== 'preflight') {
      const event = await this.#phase(state);
      interrupted ||= event === 'interrupted';
      state = afterPhase(state, event);
    }
    log.stopSampling();
    const report = await this.#report(interrupted);
    // A red drill's rows are evidence.
    if (!report.passed && !interrupted)
      log.say(`the rows of the drill are kept in ${this.#options.prepared.table}`);
    await load.end(report.passed || interrupted);
    return report;
  }

  async #phase(phase: RunPhase): Promise<DrillEvent> {
    const { log } = this.#options;
    log.enter(phase);
    const startedAtMs = drillClock.now();
    let outcome: DrillEvent = 'passed';
    try {
      if (phase !== 'healing') this.#signal.throwIfAborted();
      await this.#work(phase);
    } catch (error) {
      outcome = this.#options.signal.aborted && phase !== 'healing' ? 'interrupted' : 'failed';
      const reason = error instanceof Error ? error.message : String(error);
      log.say(outcome === 'failed' ? `failed: ${reason}` : 'stopping: what is broken is healed first');
      if (outcome === 'failed' && !(error instanceof CheckFailed))
        this.#checks.push({ name: `${phase} succeeds`, held: false, detail: reason });
    }
    log.ended({ name: phase, startedAtMs, endedAtMs: drillClock.now(), outcome });
    return outcome;
  }

  #work(phase: RunPhase): Promise<void> {
    switch (phase) {
      case 'steady':
        return this.#steady();
      case 'fault':
        return this.#fault();
      case 'detection':
        return this.#detection();
      case 'recovery':
        return this.#recovery();
      case 'verification':
        return this.#verification();
      case 'failback':
        return this.#goBack();
      case 'healing':
        return this.#healing();
    }
  }

  async #steady(): Promise<void> {
    const { load, log, request, prepared } = this.#options;
    load.run();
    // Connections have to be made first, which a busy machine takes its time for.
    await this.#until('every client is served', this.#patience.backMs, () =>
      Promise.resolve(unserved(load.entries, prepared.clients)),
    );
    log.say(`${request.load} writes/s over ${prepared.clients.length} clients for ${request.seconds} s`);
    await this.#sleep(request.seconds * 1_000);
    const check = steadyCheck(load.entries, prepared.clients);
    this.#checks.push(check);
    log.say(check.detail);
    if (!check.held) throw new CheckFailed(check.detail);
  }

  async #fault(): Promise<void> {
    const { target, log } = this.#options;
    const [outside, status] = await Promise.all([target.outside(), target.status()]);
    this.#before = { ...outside, status };
    this.#faultAtMs = drillClock.now();
    if (this.#plan.breaks.length === 0) log.say('nothing is broken: the move itself is what is watched');
    for (const [at, deed] of this.#plan.breaks.entries()) {
      const heal = this.#plan.heals[at];
      if (heal !== undefined) this.#undo.push(heal);
      log.say(inWords(deed));
      await target.perform(deed);
    }
  }

  async #detection(): Promise<void> {
    const { target, log } = this.#options;
    const { sign, region } = this.#plan;
    const name = 'the fault is seen from outside';
    const deadline = performance.now() + this.#patience.seenMs;
    for (;;) {
      const [status, outside] = await Promise.all([target.status(region), target.outside()]);
      const seen = signSeen(sign, status, outside, this.#before);
      if (seen !== null) {
        this.#detectedAtMs = drillClock.now();
        if (sign.kind !== 'none') this.#checks.push({ name, held: true, detail: seen });
        log.say(seen);
        return;
      }
      if (performance.now() > deadline) break;
      await this.#sleep(pollMs);
    }
    throw new Error(`nothing told of the fault within ${this.#patience.seenMs / 1_000} s`);
  }

  async #recovery(): Promise<void> {
    const { log, request } = this.#options;
    const { move, region } = this.#plan;
    if (move === 'failover') await this.#failOver();
    if (move === 'switchover') {
      this.#moved = true;
      const { operation, askedAtMs } = await switchOver(this.#options.target, region, this.#watch);
      this.#faultAtMs = askedAtMs;
      this.#movePhases = onDrillClock(operation);
      log.say(`the agent says that writes paused for ${operation.result?.pauseMs ?? '?'} ms`);
    }
    await this.#writesBack(move === 'none' ? this.#faultAtMs : drillClock.now());
    log.say('writes are acknowledged');
    await this.#sleep(move === 'none' ? request.seconds * 1_000 : besideMoveMs);
    await this.#heal();
    await this.#wholeUnderLoad();
    // An outage that began after the first of them has to end as well.
    await this.#writesBack(drillClock.now());
    this.#watchedUntilMs = drillClock.now();
  }

  async #failOver(): Promise<void> {
    const { target, log, prepared } = this.#options;
    const { region } = this.#plan;
    this.#moved = true;
    if (prepared.byPolicy) {
      log.say('the policy fails over by itself: waiting for it');
      const startedAtMs = drillClock.now();
      const primary = await movedByPolicy(target, region, this.#patience.policyMs, this.#signal);
      const held = primary !== null;
      const detail = held
        ? `${primary} took over`
        : `nothing moved within ${this.#patience.policyMs / 1_000} s`;
      this.#checks.push({ name: 'the policy fails over by itself', held, detail });
      log.say(detail);
      if (held) {
        this.#movePhases = [{ name: 'failover by policy', startedAtMs, endedAtMs: drillClock.now() }];
        return;
      }
    }
    const { operation, askedAtMs } = await failOver(target, region, this.#watch);
    this.#moveAskedAtMs = askedAtMs;
    this.#movePhases = onDrillClock(operation);
    const { rtoMs } = operation.result ?? {};
    log.say(
      `${operation.target} is the primary; its agent says after ${rtoMs === undefined ? '?' : Math.round(rtoMs)} ms`,
    );
  }

  /** Waits for an acknowledged write that a client which is a stopwatch has sent after `sinceMs`. */
  async #writesBack(sinceMs: number | null): Promise<void> {
    const { load, prepared } = this.#options;
    const watched = stopwatchRegions(this.#plan, prepared.regions);
    await this.#until('a write is acknowledged', this.#patience.backMs, () => {
      const since = load.entries.filter(({ sentAtMs }) => sentAtMs > (sinceMs ?? 0));
      return Promise.resolve(
        acknowledgements(since, prepared.clients, watched).length > 0 ? [] : ['none yet'],
      );
    });
  }

  /** Undoes what is broken. A deed that fails stays to be undone. */
  async #heal(): Promise<void> {
    const { target, log } = this.#options;
    for (let deed = this.#undo.at(-1); deed !== undefined; deed = this.#undo.at(-1)) {
      await target.perform(deed);
      log.say(inWords(deed));
      this.#undo.pop();
    }
  }

  async #wholeUnderLoad(): Promise<void> {
    const { target, log } = this.#options;
    const reasons = async (): Promise<readonly string[]> => {
      const [status, disorder] = await Promise.all([target.status(), target.disorder()]);
      if (status === null) return ['no gateway answers'];
      return [...disorder, ...unwellUnderLoad(status, followingLagMs)];
    };
    await this.#until('every region is whole and follows', this.#patience.wholeMs, reasons);
    log.say('every region is whole and follows');
  }

  async #verification(): Promise<void> {
    await this.#takeAccount('');
    const red = this.#dataChecks.filter(({ held }) => !held);
    if (red.length > 0) throw new CheckFailed(red.map(({ name, detail }) => `${name}: ${detail}`).join('; '));
  }

  /** Stops the load, and compares the ledger with every region's data until they fit, or the patience is over. */
  async #takeAccount(when: string): Promise<void> {
    const { load, log, target, prepared, id } = this.#options;
    const waiting = await load.pause(drainMs);
    if (waiting > 0) log.say(`${waiting} writes have no answer`);
    if (load.dead !== null) throw new Error(load.dead);
    await this.#until('every region is level', this.#patience.wholeMs, async () => {
      const status = await target.status();
      return status === null ? ['no gateway answers'] : unwell(status);
    });
    const deadline = performance.now() + this.#patience.settleMs;
    for (;;) {
      const [regions, losses] = await Promise.all([load.read(), target.losses()]);
      const account = accountFor({
        drill: id,
        clients: prepared.clients,
        entries: load.entries,
        regions,
        losses: lossesSince(prepared.losses, losses ?? unheard),
      });
      this.#account = account;
      this.#dataChecks = dataChecks(this.#plan, account, when);
      if (account.discrepancies.length === 0 || performance.now() > deadline) break;
      await this.#sleep(500);
    }
    const { acknowledged, refused, unknown, lost, reportedLost, discrepancies } = this.#account;
    log.say(
      `${acknowledged} acknowledged, ${refused} refused, ${unknown} unknown; ${lost.length} lost, ${reportedLost} reported as lost`,
    );
    for (const { text } of discrepancies) log.say(`does not fit: ${text}`);
  }

  async #goBack(): Promise<void> {
    const { target, load, log, prepared } = this.#options;
    if (this.#plan.move === 'none') {
      log.say('nothing has to move back');
      return;
    }
    load.run();
    const stalledFromMs = drillClock.now();
    await this.#sleep(besideMoveMs);
    const beganAtMs = drillClock.now();
    await switchOver(target, prepared.primary, this.#watch);
    this.#moved = false;
    await this.#wholeUnderLoad();
    const endedAtMs = drillClock.now();
    this.#failback = { beganAtMs, endedAtMs, stalledFromMs };
    log.say(`${prepared.primary} is the primary again, after ${Math.round(endedAtMs - beganAtMs)} ms`);
    await this.#sleep(besideMoveMs);
    const first = this.#dataChecks;
    await this.#takeAccount(' after the move back');
    const during = load.entries.filter(({ sentAtMs }) => sentAtMs >= stalledFromMs);
    this.#checks.push(noneFailed('no request fails while the primary moves back', during));
    this.#dataChecks = [...first, ...this.#dataChecks];
    if (this.#checks.at(-1)?.held === false) throw new CheckFailed(this.#checks.at(-1)?.detail);
  }

  /** After a phase failed, or somebody stopped the drill: everything as it was, as far as it goes. */
  async #healing(): Promise<void> {
    const { target, log, prepared } = this.#options;
    // Nothing interrupts this; a second Ctrl-C ends the process.
    this.#signal = new AbortController().signal;
    this.#watchedUntilMs ??= drillClock.now();
    const byHand = this.#undo.map(inWords);
    try {
      await this.#heal();
      // A move that was watched no more goes on: where the primary is shows when it has ended.
      if (this.#move !== null) await moveEnded(target, this.#move, this.#signal);
      await this.#wholeUnderLoad();
      const status = await target.status();
      if (this.#moved && status?.primary !== prepared.primary) {
        await switchOver(target, prepared.primary, this.#watch);
        log.say(`${prepared.primary} is the primary again`);
      }
      log.say('what was broken is healed');
    } catch (error) {
      if (byHand.length > 0) log.say(`by hand, where it has not been done: ${byHand.join('; ')}`);
      throw error;
    }
    if (this.#account === null) await this.#takeAccount('');
  }

  async #report(interrupted: boolean): Promise<DrillReport> {
    const { id, request, prepared, load, log, target, traceId, versions, machine } = this.#options;
    if (load.dead !== null)
      this.#checks.push({ name: 'the load runs throughout', held: false, detail: load.dead });
    const status = await target.status();
    const endedAtMs = drillClock.now();
    return reportOf(
      {
        id,
        request,
        plan: this.#plan,
        cluster: prepared.cluster,
        regions: prepared.regions,
        clients: prepared.clients,
        beganAtMs: log.beganAtMs,
        endedAtMs,
        interrupted,
        before: { primary: prepared.primary, epoch: prepared.epoch },
        after: { primary: status?.primary ?? null, epoch: status?.epoch ?? null },
        faultAtMs: this.#faultAtMs,
        detectedAtMs: this.#detectedAtMs,
        watchedUntilMs: this.#watchedUntilMs ?? endedAtMs,
        moveAskedAtMs: this.#moveAskedAtMs,
        movePhases: this.#movePhases,
        failback: this.#failback,
        entries: load.entries,
        account: this.#account,
        checks: [...this.#checks, ...this.#dataChecks],
        phases: log.phases,
        timeline: log.timeline,
        lag: log.lag,
        traceId,
        versions,
        machine,
      },
      isoOf,
    );
  }

  get #watch(): MoveWatch {
    return {
      say: (event) => this.#options.log.say(event),
      signal: this.#signal,
      onBegun: (operation) => {
        this.#move = operation;
      },
    };
  }

  async #sleep(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#signal });
  }

  /** Waits until nothing is left to say against it. @throws Error with what is left after `patienceMs`. */
  async #until(what: string, patienceMs: number, against: () => Promise<readonly string[]>): Promise<void> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const reasons = await against();
      if (reasons.length === 0) return;
      if (this.#options.load.dead !== null) throw new Error(this.#options.load.dead);
      if (performance.now() > deadline)
        throw new Error(`not within ${patienceMs / 1_000} s: ${what} (${reasons.join('; ')})`);
      await this.#sleep(pollMs);
    }
  }
}

/** The phases of a move, which its agent timed by its wall clock. */
const onDrillClock = ({ phases }: Operation): readonly MovePhase[] =>
  phases.map(({ name, startedAtMs, endedAtMs }) => ({
    name,
    startedAtMs: drillClock.ofWall(startedAtMs),
    endedAtMs: endedAtMs === null ? null : drillClock.ofWall(endedAtMs),
  }));

/** Nobody answered: everything about losses is missing. */
const unheard: LossLook = { reports: [], unreachable: ['every region'], unanswered: [] };
