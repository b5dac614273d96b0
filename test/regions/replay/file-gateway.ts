/** A gateway's protocol in front of SQLite: databases that stand at places of history, and one that is written. Streams take turns. */
import type { DatabaseSync } from 'node:sqlite';
import { type BatchAnswer, type LinkFailure, SqlLink } from '../../../regions/transfer/sql-link.ts';

type Wire = { type: string; value?: string | number; base64?: string };
type Condition = { type: 'ok'; step: number } | { type: 'not'; cond: Condition } | { type: 'is_autocommit' };
interface Step {
  readonly condition?: Condition;
  readonly stmt: { readonly sql: string; readonly args: readonly Wire[] };
}

function sqlValue({ type, value, base64 }: Wire): null | bigint | number | string | Uint8Array {
  if (type === 'integer') return BigInt(value ?? 0);
  if (type === 'float') return Number(value);
  if (type === 'text') return String(value);
  return type === 'blob' ? Buffer.from(base64 ?? '', 'base64') : null;
}

function wireOf(value: unknown): Wire {
  if (value === null) return { type: 'null' };
  if (typeof value === 'bigint') return { type: 'integer', value: String(value) };
  if (typeof value === 'number') return { type: 'float', value };
  if (value instanceof Uint8Array) return { type: 'blob', base64: Buffer.from(value).toString('base64') };
  return { type: 'text', value: String(value) };
}

function codeOf(error: unknown): string {
  const errcode = Number((error as { errcode?: number }).errcode ?? 1);
  if (errcode === 787) return 'SQLITE_CONSTRAINT_FOREIGNKEY';
  return errcode % 256 === 19 ? 'SQLITE_CONSTRAINT' : 'SQLITE_ERROR';
}

/** What happens to a request: it is lost before it arrives, or its answer is lost. */
export type Accident = 'none' | 'request lost' | 'answer lost';

export class FileGateway extends SqlLink {
  /** Texts of all statements that were carried out, in order. */
  readonly ran: string[] = [];
  /** Asked before each request. @param sql of its statements. */
  accident: (sql: readonly string[]) => Accident = () => 'none';
  private readonly places: Readonly<Record<string, DatabaseSync>>;
  private readonly at = new Map<string, DatabaseSync>();
  private streams = 0;

  /** @param places databases by the place of history; `now` is the one that is written. */
  constructor(places: Readonly<Record<string, DatabaseSync>>) {
    super('http://nowhere', null);
    this.places = places;
  }

  override async batch(body: string): Promise<BatchAnswer | LinkFailure> {
    const { baton, requests } = JSON.parse(body) as {
      baton: string | null;
      requests: { type: string; batch?: { steps: Step[] } }[];
    };
    const steps = requests[0]?.batch?.steps ?? [];
    const sql = steps.map(({ stmt }) => stmt.sql);
    const accident = sql.length === 0 ? 'none' : this.accident(sql);
    if (accident === 'request lost') {
      this.giveUp(baton);
      return { kind: 'failed', code: null, message: 'it does not answer' };
    }
    if (baton === null) this.streams += 1;
    const stream = baton ?? `stream ${this.streams}`;
    const answer = this.carryOut(stream, steps);
    if (requests.some(({ type }) => type === 'close')) this.giveUp(stream);
    if (accident === 'none') return answer;
    this.giveUp(stream);
    return { kind: 'failed', code: null, message: 'it does not answer any more' };
  }

  /** What is open on a stream is taken back when nobody goes on with it. */
  private giveUp(stream: string | null): void {
    const database = stream === null ? undefined : this.at.get(stream);
    if (database === this.places.now && database?.isTransaction === true) database.exec('ROLLBACK');
    if (stream !== null) this.at.delete(stream);
  }

  private carryOut(stream: string, steps: readonly Step[]): BatchAnswer {
    const answer = {
      rows: [] as (Wire[][] | null)[],
      changes: [] as number[],
      errors: [] as ({ code: string; message: string } | null)[],
    };
    for (const { condition, stmt } of steps) {
      let [rows, changes, error]: [Wire[][] | null, number, { code: string; message: string } | null] = [
        null,
        0,
        null,
      ];
      const database = this.at.get(stream) ?? this.places.now;
      const holds = (cond: Condition): boolean => {
        if (cond.type === 'not') return !holds(cond.cond);
        return cond.type === 'ok' ? answer.rows[cond.step] !== null : database?.isTransaction !== true;
      };
      if (condition === undefined || holds(condition))
        try {
          ({ rows, changes } = this.execute(stream, stmt.sql, stmt.args));
        } catch (thrown) {
          error = {
            code: codeOf(thrown),
            message: thrown instanceof Error ? thrown.message : String(thrown),
          };
        }
      answer.rows.push(rows);
      answer.changes.push(changes);
      answer.errors.push(error);
    }
    return { kind: 'answered', baton: stream, ...answer } as BatchAnswer;
  }

  /** The last one that stands at or before a place. */
  private standingAt(place: string): DatabaseSync | undefined {
    const [epoch, lsn] = place.split(':');
    const at = Object.keys(this.places)
      .map((name) => name.split(':'))
      .filter(([own, end]) => own === epoch && Number(end) <= Number(lsn))
      .map(([, end]) => Number(end));
    return this.places[place] ?? this.places[`${epoch}:${Math.max(...at)}`];
  }

  private execute(stream: string, sql: string, args: readonly Wire[]): { rows: Wire[][]; changes: number } {
    this.ran.push(sql);
    const place = /^PRAGMA sextant_at = '(.*)'$/.exec(sql)?.[1];
    if (place !== undefined) {
      const found = this.standingAt(place);
      if (found === undefined) throw new Error(`no database stands at ${place}`);
      this.at.set(stream, found);
      return { rows: [[{ type: 'text', value: place }]], changes: 0 };
    }
    const database = this.at.get(stream) ?? this.places.now;
    if (database === undefined) throw new Error('no database is written here');
    this.at.set(stream, database);
    const statement = database.prepare(sql);
    statement.setReadBigInts(true);
    statement.setReturnArrays(true);
    if (/^(INSERT|UPDATE|DELETE)/.test(sql))
      return { rows: [], changes: Number(statement.run(...args.map(sqlValue)).changes) };
    const rows = statement.all(...args.map(sqlValue)) as unknown as unknown[][];
    return { rows: rows.map((row) => row.map(wireOf)), changes: 0 };
  }
}
