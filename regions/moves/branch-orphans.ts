/**
 * Looks for what failovers left behind of branches in this region. A branch has no moment at which its region joins: lanes come and
 * go, and an agent may die between. So what its nodes say is compared with what was looked at: whenever the newest reign of a branch
 * that they know is another one, all that they hold of its older reigns is looked at (`orphan-search.ts`).
 */
import type { BranchName, Epoch, RecoveryGoal, RecoveryResult } from '../../storage/index.ts';
import { OrphanSearch, type OrphanSearchOptions, type SearchedLine } from './orphan-search.ts';

/** After a look that could not begin. */
const againMs = 2_000;

/** A branch as this region's nodes know it. */
export interface BranchToLook extends SearchedLine {
  /** Its newest reign that they know. */
  readonly head: Epoch;
  /** The newest epoch that the control record has allotted to it. */
  readonly allotted: Epoch;
}

interface Line extends SearchedLine {
  readonly search: OrphanSearch;
  lookedUnder: Epoch | null;
  notBeforeMs: number;
}

export class BranchOrphans {
  private readonly options: Omit<OrphanSearchOptions, 'line'>;
  private readonly lines = new Map<BranchName, Line>();
  private branches: readonly BranchToLook[] = [];
  private isRunning = false;

  constructor(options: Omit<OrphanSearchOptions, 'line'>) {
    this.options = options;
  }

  /** The nodes have been asked anew. One branch is looked at after another; those that are not named were deleted, and have lost nothing. */
  look(branches: readonly BranchToLook[]): void {
    this.branches = branches;
    for (const [name, line] of [...this.lines]) {
      if (branches.some((branch) => isLine(branch, line))) continue;
      line.search.close();
      this.lines.delete(name);
    }
    if (!this.isRunning) void this.run();
  }

  /** The newest reign of a branch under which everything that these nodes hold of it has been looked at; null before. */
  lookedUnder(branch: SearchedLine): Epoch | null {
    const line = this.lines.get(branch.name);
    return line !== undefined && isLine(branch, line) ? line.lookedUnder : null;
  }

  /** Gives up what is under way. A later look begins anew. */
  close(): void {
    this.branches = [];
    for (const { search } of this.lines.values()) search.close();
    this.lines.clear();
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    try {
      for (let next = this.due; next !== undefined; next = this.due) await this.lookAt(next);
    } finally {
      this.isRunning = false;
    }
  }

  private get due(): BranchToLook | undefined {
    const nowMs = this.options.runtime.nowMs();
    return this.branches.find((branch) => {
      const line = this.lineOf(branch);
      return line.lookedUnder !== branch.head && nowMs >= line.notBeforeMs;
    });
  }

  private lineOf(branch: BranchToLook): Line {
    const { name, origin } = branch;
    const known = this.lines.get(name);
    if (known !== undefined) return known;
    const recover = (goal: RecoveryGoal): Promise<RecoveryResult> => this.inspect(goal, name);
    const search = new OrphanSearch({ ...this.options, recover, line: { name, origin } });
    const line = { name, origin, search, lookedUnder: null, notBeforeMs: Number.NEGATIVE_INFINITY };
    this.lines.set(name, line);
    return line;
  }

  private async lookAt(branch: BranchToLook): Promise<void> {
    const { runtime } = this.options;
    const { name, origin, head } = branch;
    const line = this.lineOf(branch);
    // Nobody has written to it: there is no reign that could have been left.
    if (head === origin) {
      line.lookedUnder = head;
      return;
    }
    const known = await this.inspect({ kind: 'inspect', branch: name, epoch: head, head }, name);
    if (known.kind === 'recovered') {
      void line.search.search(known.outcome);
      await line.search.settled;
    }
    if (line.search.lookedUnder === head) line.lookedUnder = head;
    else line.notBeforeMs = runtime.nowMs() + againMs;
  }

  /**
   * A reign that was allotted and has not come to anything may have sealed the nodes: they answer whoever asks under its epoch.
   * That is no reign against it, and any older one has been superseded by it.
   */
  private async inspect(goal: RecoveryGoal, name: BranchName): Promise<RecoveryResult> {
    const result = await this.options.recover(goal);
    const allotted = this.branches.find((branch) => branch.name === name)?.allotted;
    if (result.kind !== 'fenced' || allotted === undefined || result.by > allotted) return result;
    return this.options.recover({ ...goal, epoch: result.by });
  }
}

const isLine = (a: SearchedLine, b: SearchedLine): boolean => a.name === b.name && a.origin === b.origin;
