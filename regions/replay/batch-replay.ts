/**
 * Brings a batch of lost rows back in one transaction. It looks first at what is there now, changes what is still what it was, and
 * commits.
 */
import type { SchemaObject } from '../compare/core/schema-changes.ts';
import { textOf } from '../compare/place-reader.ts';
import { quotedName } from '../transfer/core/wire-value.ts';
import type { SqlLink } from '../transfer/sql-link.ts';
import { type Conflict, copiesWanted, judge, whyNothingChanged } from './core/judgement.ts';
import { copiesId, distinctInserts, isKeylessInsert, type KeylessCopies } from './core/keyless-copies.ts';
import type { LostRow } from './core/lost-row.ts';
import {
  bringBackStatement,
  countStatement,
  guardStatement,
  guardsOf,
  lookStatement,
  missingColumns,
} from './core/replay-statement.ts';
import { suspendedTriggers, type Target } from './core/target.ts';
import { meaningOf, over, ReplayTransaction, type StepEnd, TransactionLost } from './replay-transaction.ts';
import { readTarget } from './target-reader.ts';

export interface BatchOptions {
  /** Everything is tried, and taken back. */
  readonly dryRun: boolean;
  readonly copies: KeylessCopies;
}

/** A row that a foreign key stands in the way of. */
export type Blocked = Omit<Conflict, 'reason'>;

/** What has become of rows of a batch. */
export interface Settled {
  readonly applied: LostRow[];
  readonly there: LostRow[];
  readonly conflicts: Conflict[];
  /** A foreign key stands in the way of these; another row that comes back may make way. */
  readonly blocked: Blocked[];
}

/** What came of a batch: it counts, or it is to be done again, otherwise. */
export type BatchEnd =
  | { readonly kind: 'done'; readonly settled: Settled }
  | { readonly kind: 'stale' }
  | { readonly kind: 'rolledBack'; readonly by: Conflict };

export class BatchReplay {
  private readonly link: SqlLink;
  private readonly options: BatchOptions;
  private target: Target;
  private readonly suspendedNames = new Set<string>();
  /** Rows of a transaction whose COMMIT nobody has answered. */
  private readonly maybeApplied = new Set<LostRow>();
  /** Of inserted rows without a key, by `copiesId`: how many are settled. */
  private readonly settledCopies = new Map<string, number>();
  private committed = 0;

  /** @param link to a gateway whose writes are the deployment's. */
  constructor(link: SqlLink, target: Target, options: BatchOptions) {
    this.link = link;
    this.target = target;
    this.options = options;
  }

  /** Triggers that did not run, by name. */
  get suspended(): readonly string[] {
    return [...this.suspendedNames].sort();
  }

  get transactions(): number {
    return this.committed;
  }

  /** @throws TransactionLost when nothing of it counts, or nobody knows whether it does. */
  async bringBack(batch: readonly LostRow[]): Promise<BatchEnd> {
    const end = await this.attempt(batch);
    if (end.kind === 'stale') this.target = await readTarget(this.link);
    if (end.kind === 'done') this.countCopies(end.settled);
    return end;
  }

  private countCopies({ applied, there, conflicts }: Settled): void {
    for (const row of [...applied, ...there, ...conflicts.map((each) => each.row)]) {
      if (!isKeylessInsert(row)) continue;
      const id = copiesId(row);
      this.settledCopies.set(id, (this.settledCopies.get(id) ?? 0) + 1);
    }
  }

  private async attempt(batch: readonly LostRow[]): Promise<BatchEnd> {
    const transaction = new ReplayTransaction(this.link);
    try {
      const settled: Settled = { applied: [], there: [], conflicts: [], blocked: [] };
      const looked = await this.look(transaction, batch, settled);
      if (looked === null) return { kind: 'stale' };
      if (looked.length === 0) return { kind: 'done', settled };
      const suspended = suspendedTriggers(
        this.target,
        looked.map(({ shape }) => shape.name),
      );
      await this.mustRun(
        transaction,
        suspended.map(({ name }) => ({ sql: `DROP TRIGGER ${quotedName(name)}`, what: name })),
      );
      const by = await this.write(transaction, looked, settled);
      if (by !== null) return { kind: 'rolledBack', by };
      if (settled.applied.length === 0) return { kind: 'done', settled };
      const version = await this.makeAgain(transaction, suspended);
      if (!this.options.dryRun) {
        await this.commit(transaction, settled.applied);
        this.target = { ...this.target, version };
        this.committed += 1;
      }
      for (const { name } of suspended) this.suspendedNames.add(name);
      return { kind: 'done', settled };
    } finally {
      await transaction.end();
    }
  }

  /** @returns the version of the schema with the triggers in it again. */
  private async makeAgain(
    transaction: ReplayTransaction,
    triggers: readonly SchemaObject[],
  ): Promise<string> {
    if (triggers.length === 0) return this.target.version;
    const ends = await this.mustRun(transaction, [
      ...triggers.map(({ name, sql }) => ({ sql, what: name })),
      { sql: 'PRAGMA schema_version', what: 'schema' },
    ]);
    return textOf(ends.at(-1)?.rows?.[0]?.[0]);
  }

  /** @returns the rows that are to be brought back; null when the schema is another one by now. */
  private async look(
    transaction: ReplayTransaction,
    batch: readonly LostRow[],
    settled: Settled,
  ): Promise<readonly LostRow[] | null> {
    const { target } = this;
    const possible = batch.filter((row) => missingColumns(row, target)?.length === 0);
    const keyless = distinctInserts(possible);
    const ends = await transaction.begin([
      { sql: 'PRAGMA schema_version' },
      ...possible.map((row) => lookStatement(row, target)),
      ...keyless.map(countStatement),
    ]);
    if (textOf(ends[0]?.rows?.[0]?.[0]) !== target.version) return null;
    for (const row of batch) {
      const missing = missingColumns(row, target);
      if (missing === null)
        settled.conflicts.push({
          row,
          now: null,
          reason: 'no table',
          detail: 'its table is not there: make it first',
        });
      else if (missing.length > 0)
        settled.conflicts.push({
          row,
          now: null,
          reason: 'no column',
          detail: `its table has no column ${missing.join(', ')}: alter it first`,
        });
    }
    const copies = new Map<string, number | null>();
    for (const [at, rows] of keyless.entries()) {
      const counted = countsIn(ends[1 + possible.length + at]);
      for (const [index, row] of rows.entries())
        copies.set(copiesId(row), this.copiesThere(row, counted.get(index) ?? 0));
    }
    return possible.filter((row, at) => {
      const end = ends[1 + at];
      if (end?.error) {
        settled.conflicts.push({ row, now: null, reason: 'constraint', detail: end.error.message });
        return false;
      }
      if (isKeylessInsert(row)) return this.isMissing(row, copies, settled);
      const now = end?.rows?.[0]?.map(textOf) ?? null;
      const verdict = judge(row, now);
      if (verdict.kind === 'there') (this.maybeApplied.has(row) ? settled.applied : settled.there).push(row);
      else if (verdict.kind === 'conflict') settled.conflicts.push({ row, now, ...verdict });
      return verdict.kind === 'apply';
    });
  }

  /** How many of the inserted rows of these values that are not settled yet are there; null as `copiesWanted` has it. */
  private copiesThere(row: LostRow, now: number): number | null {
    const known = this.options.copies.of(row);
    const wanted = copiesWanted({ ...known, now });
    const open = known.inserted - (this.settledCopies.get(copiesId(row)) ?? 0);
    return wanted === null ? null : Math.max(0, open - wanted);
  }

  /** @param there how many of the same values are there: the first ones count as these. */
  private isMissing(row: LostRow, there: Map<string, number | null>, settled: Settled): boolean {
    const id = copiesId(row);
    const copies = there.get(id) ?? null;
    if (copies === 0) return true;
    if (copies !== null) {
      there.set(id, copies - 1);
      (this.maybeApplied.has(row) ? settled.applied : settled.there).push(row);
      return false;
    }
    const detail = 'rows like it that were there at the fork have been deleted since';
    settled.conflicts.push({ row, now: null, reason: 'deleted since', detail });
    return false;
  }

  /** @returns the row whose statement has ended the transaction; null when it stands. */
  private async write(
    transaction: ReplayTransaction,
    rows: readonly LostRow[],
    settled: Settled,
  ): Promise<Conflict | null> {
    let waiting = rows;
    for (;;) {
      const guarded = waiting.map((row) => ({ row, guards: guardsOf(row, this.target) }));
      const ends = await transaction.run([
        ...guarded.flatMap(({ row, guards }) => [
          bringBackStatement(row, guards),
          ...(guards.length > 0 ? [guardStatement(row, guards)] : []),
        ]),
        // Whether the transaction stands.
        { sql: 'SELECT 1' },
      ]);
      const blocked: Blocked[] = [];
      let [at, changed, failed]: [number, number, Conflict | null] = [0, 0, null];
      for (const { row, guards } of guarded) {
        const end = ends[at];
        const held = guards.length > 0 ? ends[at + 1]?.rows?.[0] : [];
        at += guards.length > 0 ? 2 : 1;
        if (end === undefined || (end.rows === null && end.error === null)) break;
        const missing = guards
          .filter((_, index) => textOf(held?.[index]) !== '1')
          .map((guard) => guard.missing);
        if (end.error !== null) {
          const { code, message } = end.error;
          failed = { row, now: row.before, reason: 'constraint', detail: message };
          if (code === 'SQLITE_CONSTRAINT_FOREIGNKEY')
            blocked.push({ row, now: row.before, detail: message });
          else settled.conflicts.push(failed);
        } else if (end.changes > 0) {
          settled.applied.push(row);
          changed += 1;
        } else {
          const { reason, detail } = whyNothingChanged(missing);
          if (reason === 'foreign key') blocked.push({ row, now: row.before, detail });
          else settled.conflicts.push({ row, now: row.before, reason, detail });
        }
      }
      if (ends.at(-1)?.rows === null) {
        // A trigger's RAISE(ROLLBACK) has ended the transaction, and nothing after it has run.
        if (failed === null) throw new TransactionLost(over);
        return failed;
      }
      if (blocked.length === 0 || changed === 0) {
        settled.blocked.push(...blocked);
        return null;
      }
      waiting = blocked.map(({ row }) => row);
    }
  }

  /** Statements without which the transaction must not be committed. */
  private async mustRun(
    transaction: ReplayTransaction,
    statements: readonly { readonly sql: string; readonly what: string }[],
  ): Promise<readonly StepEnd[]> {
    const ends = await transaction.run(statements);
    for (const [at, { what }] of statements.entries()) {
      const end = ends[at];
      if (end?.error)
        throw new TransactionLost({
          kind: 'failed',
          code: end.error.code,
          message: `${what}: ${end.error.message}`,
        });
      if (end === undefined || end.rows === null) throw new TransactionLost(over);
    }
    return ends;
  }

  private async commit(transaction: ReplayTransaction, applied: readonly LostRow[]): Promise<void> {
    try {
      await transaction.commit();
    } catch (error) {
      if (error instanceof TransactionLost && meaningOf(error.failure.code) === 'again')
        for (const row of applied) this.maybeApplied.add(row);
      throw error;
    }
  }
}

/** Of a `countStatement`: how many rows there are of each of the values. */
function countsIn(end: StepEnd | undefined): ReadonlyMap<number, number> {
  return new Map((end?.rows ?? []).map(([index, count]) => [Number(textOf(index)), Number(textOf(count))]));
}
