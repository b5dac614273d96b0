/**
 * Makes and deletes branches. The agent of the primary region makes them: it knows what is durable there now, and its nodes have the
 * fork before the answer leaves. Any agent may delete one; the compare-and-set decides.
 */
import {
  type BranchName,
  branchName,
  type Epoch,
  type Lsn,
  mainBranch,
  maxLsn,
  pause,
  type Runtime,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { changeControl } from '../control/control-link.ts';
import { type Branch, branchesOf, branchNamed } from '../control/core/branch-list.ts';
import { createBranch, deleteBranch, noBranchReason } from '../control/core/branch-record.ts';
import type { ControlReading, ControlStore } from '../control/core/control-port.ts';
import type { ControlRecord } from '../control/core/control-record.ts';
import { branchesFrom } from '../control/core/promised-record.ts';
import type { ForkOutcome } from './branch-forks.ts';
import { parentAt, placeProblem, type Source, wishOf } from './core/branch-place.ts';
import type { BranchCreate } from './core/branch-request.ts';

/** What a place that somebody asked for means: the last consistency point at or before it. */
export type Found =
  | { readonly kind: 'located'; readonly lsn: Lsn }
  | { readonly kind: 'unavailable'; readonly reason: string };

export interface BranchesOptions {
  readonly region: string;
  readonly store: ControlStore;
  /** The newest control record that was seen. */
  readonly record: () => ControlRecord | null;
  /** What this region's nodes hold of a line of history, asked now; null when too few answer. */
  readonly source: (name: BranchName) => Promise<Source | null>;
  /** `atUs` null: at or below `upTo`; else also not committed later. */
  readonly locate: (wish: { head: Epoch; upTo: Lsn; atUs: number | null }) => Promise<Found>;
  /** Makes the fork on this region's nodes. */
  readonly make: (branch: Branch) => Promise<ForkOutcome>;
  /** Hears what was written. */
  readonly looked: (reading: ControlReading) => void;
  /** Says that the record cannot be changed, and what to do. */
  readonly noRecord: (reason: string) => string;
  readonly runtime: Runtime;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

export type BranchAnswer =
  | { readonly kind: 'branch'; readonly branch: Branch }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

/** Whoever asked has given up by then, and may have asked again: a change begins no more. */
const changeMs = 2_500;
/** The nodes are asked again and again to make a fork, until the branch is given up; whoever asked waits for 3 s. */
const makeMs = 2_000;
const makeAgainMs = 100;

const refused = (code: string, message: string): BranchAnswer => ({ kind: 'refused', code, message });

/** The record's own words for a refusal, as an operator meets them elsewhere. */
const codeOf = (code: string): string =>
  code === 'moving' ? 'MOVE_IN_PROGRESS' : code.toUpperCase().replaceAll('-', '_');

/** Makes a branch. Once it is answered, four nodes of the primary region have it. */
export async function makeBranch(request: BranchCreate, options: BranchesOptions): Promise<BranchAnswer> {
  const { region, runtime, log } = options;
  const untilMs = runtime.nowMs() + changeMs;
  const record = options.record();
  if (record === null) return refused('NO_CONTROL_RECORD', options.noRecord('it has not been read yet'));
  if (record.primary !== region)
    return refused(
      'OTHER_REGION',
      `a branch is made by the agent of the primary region, ${record.primary}; this is ${region}`,
    );
  const place = await placeOf(request, record, options);
  if ('kind' in place) return place;
  const name = branchName(request.name);
  const begin: Parameters<typeof changeControl>[1] = ({ record: now }) => {
    if (runtime.nowMs() > untilMs)
      return { kind: 'refused', code: 'CONTROL_UNAVAILABLE', reason: 'others keep changing the record' };
    // What was looked up is of the reign that the record named then.
    if (now.epoch !== record.epoch || now.primary !== region)
      return { kind: 'refused', code: 'NEW_REIGN', reason: 'the primary has a new reign since: ask again' };
    // R96: the promise may have risen since the place was looked up.
    const { parent, forkLsn, source } = place;
    const floor = maxLsn(source.floor, branchesFrom(now, { epoch: source.head, ...source }));
    const below = placeProblem(forkLsn, request.from, { ...source, floor });
    if (below !== null) return below;
    return createBranch(now, {
      name,
      from: branchName(request.from),
      parent,
      forkLsn,
      createdAtMs: Math.floor(runtime.wallUs() / 1_000),
    });
  };
  const changed = await changeControl(options.store, begin, runtime);
  if (changed.kind === 'unavailable') return refused('NO_CONTROL_RECORD', options.noRecord(changed.reason));
  if (changed.kind === 'refused') return refused(codeOf(changed.code), changed.reason);
  options.looked({ kind: 'record', view: changed.view });
  const branch = branchNamed(changed.view.record, name);
  if (branch === undefined) return refused('INTERNAL', `${name} is not in the record that it was written to`);
  const problem = await made(branch, options);
  if (problem === null) {
    const { parent, forkLsn } = place;
    log.info({ branch: name, parent, forkLsn, epoch: branch.epoch }, 'a branch was made');
    return { kind: 'branch', branch };
  }
  log.warn({ branch: name, reason: problem }, 'a branch could not be made: it is deleted again');
  const undone = await removeBranch(name, options);
  const left =
    undone.kind === 'refused' ? ` It is in the record all the same: sextant branch delete ${name}.` : '';
  return refused('BRANCH_NOT_MADE', `${problem}.${left}`);
}

/** Takes a branch out of the record. */
export async function removeBranch(
  text: string,
  options: Pick<BranchesOptions, 'store' | 'looked' | 'noRecord' | 'runtime' | 'log'>,
): Promise<BranchAnswer> {
  const { runtime } = options;
  const untilMs = runtime.nowMs() + changeMs;
  let gone: Branch | undefined;
  const end: Parameters<typeof changeControl>[1] = ({ record }) => {
    if (runtime.nowMs() > untilMs)
      return { kind: 'refused', code: 'CONTROL_UNAVAILABLE', reason: 'others keep changing the record' };
    gone = branchNamed(record, text);
    if (gone === undefined && text !== mainBranch)
      return { kind: 'refused', code: 'no-branch', reason: noBranchReason(record, text) };
    return deleteBranch(record, { name: gone?.name ?? mainBranch });
  };
  const changed = await changeControl(options.store, end, runtime);
  if (changed.kind === 'unavailable') return refused('NO_CONTROL_RECORD', options.noRecord(changed.reason));
  if (changed.kind === 'refused') return refused(codeOf(changed.code), changed.reason);
  options.looked({ kind: 'record', view: changed.view });
  if (gone === undefined) return refused('INTERNAL', `${text} was deleted without having been there`);
  options.log.info({ branch: gone.name, epoch: gone.epoch }, 'a branch was deleted');
  return { kind: 'branch', branch: gone };
}

interface BranchPlace {
  readonly parent: Epoch;
  readonly forkLsn: Lsn;
  /** What it leaves. */
  readonly source: Source;
}

/** Where the branch leaves, or why it cannot. */
async function placeOf(
  { name: wanted, at, from }: BranchCreate,
  record: ControlRecord,
  { source, locate }: BranchesOptions,
): Promise<BranchPlace | Extract<BranchAnswer, { kind: 'refused' }>> {
  const no = (code: string, message: string) => ({ kind: 'refused', code, message }) as const;
  const called = branchName(wanted);
  const known: readonly BranchName[] = [mainBranch, ...branchesOf(record).map(({ name }) => name)];
  const name = known.find((one) => one === from);
  if (name === undefined) return no('NO_BRANCH', noBranchReason(record, from));
  const wish = at === undefined ? null : wishOf(at);
  if (wish?.kind === 'refused') return no(wish.code, wish.reason);
  const held = await source(name);
  if (held === null)
    return no(
      'BRANCH_UNREADABLE',
      `too few storage nodes say what they hold of ${from}: start them, and ask again. An agent that was just started knows it after a moment`,
    );
  const { head, vdl } = held;
  const upTo = wish?.kind === 'lsn' ? wish.lsn : vdl;
  const beyond = placeProblem(upTo, name, held);
  if (beyond !== null) return no(beyond.code, beyond.reason);
  if (wish === null) return { parent: parentAt(vdl, called, held), forkLsn: vdl, source: held };
  const found = await locate({ head, upTo, atUs: wish.kind === 'time' ? wish.us : null });
  if (found.kind === 'unavailable')
    return no('PLACE_UNKNOWN', `what ${at} means cannot be told: ${found.reason}`);
  const below = placeProblem(found.lsn, name, held);
  if (below !== null) return no(below.code, below.reason);
  return { parent: parentAt(found.lsn, called, held), forkLsn: found.lsn, source: held };
}

/** @returns why the nodes of this region do not have the fork; null when four have. */
async function made(branch: Branch, { make, runtime }: BranchesOptions): Promise<string | null> {
  let reason = '';
  const untilMs = runtime.nowMs() + makeMs;
  do {
    const outcome = await make(branch);
    if (outcome.kind === 'made') return null;
    reason = outcome.reason;
    if (outcome.kind === 'below') break;
    await pause(runtime, makeAgainMs);
  } while (runtime.nowMs() < untilMs);
  return reason;
}
