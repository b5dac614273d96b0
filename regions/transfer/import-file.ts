/** Brings a SQLite file into a database behind a gateway, as any client could. */
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BatchLimits,
  batchRequest,
  defaultBatchLimits,
  halved,
  type ImportBatch,
  type ImportStep,
  rehearsalRequest,
  takeBatch,
} from './core/import-batch.ts';
import {
  type ImportPart,
  type ImportPosition,
  importPlan,
  importStart,
  progressTable,
  rehearsal,
  type SourceSchema,
} from './core/import-plan.ts';
import { resumption, type TargetState, troubleOf } from './core/import-trouble.ts';
import { ImportTarget, patienceMs, pauseMs, refuseToMix } from './import-target.ts';
import { stepsFrom } from './source-rows.ts';
import { failureIn, type LinkFailure, type SqlLink } from './sql-link.ts';
import { fingerprintOf } from './survey.ts';
import { TransferError } from './transfer-error.ts';

/** A row with its base64 fits the 32 MiB that a gateway takes at once. */
export const rowBytesMax = 22 * 1024 * 1024;
/** A gateway takes 10,000 statements at once, and all of a schema is tried in one transaction. */
const objectsMax = 9_990;

export interface ImportOptions {
  readonly intoExisting: boolean;
  readonly batchLimits?: BatchLimits;
  readonly patienceMs?: number;
}

export interface ImportSight {
  /** `checking` writes nothing. */
  readonly phase: 'checking' | 'writing';
  readonly what: string;
  readonly rows: number;
  readonly ofRows: number;
  readonly bytes: number;
  readonly ofBytes: number;
}

export interface ImportListener {
  progress(sight: ImportSight): void;
  /** Something a person should know: an outage that is waited out, a smaller step. */
  note(text: string): void;
}

export interface ImportResult {
  readonly tables: number;
  readonly rows: number;
  readonly bytes: number;
  /** Requests, each a transaction of its own. */
  readonly transactions: number;
  /** Where it went on; null when it began at the beginning. */
  readonly resumedAt: ImportPosition | null;
}

export class Importer {
  private readonly db: DatabaseSync;
  private readonly source: SourceSchema;
  private readonly target: ImportTarget;
  private readonly options: ImportOptions;
  private readonly listener: ImportListener;
  private readonly parts: readonly ImportPart[];
  private readonly fingerprint: string;
  private readonly rowsBefore: readonly number[];
  private readonly bytesBefore: readonly number[];
  private limits: BatchLimits;
  private transactions = 0;

  constructor(
    db: DatabaseSync,
    source: SourceSchema,
    link: SqlLink,
    options: ImportOptions,
    listener: ImportListener,
  ) {
    this.db = db;
    this.source = source;
    this.target = new ImportTarget(link, options.patienceMs ?? patienceMs, (text) => listener.note(text));
    this.options = options;
    this.listener = listener;
    this.parts = importPlan(source, !options.intoExisting);
    this.fingerprint = fingerprintOf(source, !options.intoExisting);
    this.limits = options.batchLimits ?? defaultBatchLimits;
    this.rowsBefore = sums(this.parts, ({ rows }) => rows);
    this.bytesBefore = sums(this.parts, ({ bytes }) => bytes);
  }

  /** @throws TransferError when something cannot be taken, before anything is written; or when it was cut off, saying how to go on. */
  async run(): Promise<ImportResult> {
    this.checkFile();
    const { tables } = this.source;
    const found = await this.state();
    const begin = resumption(found, this.fingerprint, null);
    const at =
      found.note === null ? importStart : begin.kind === 'at' ? { part: begin.part, row: begin.row } : null;
    if (at === null)
      throw new TransferError(
        `an import of another file, or with other options, has not ended there: run that again to end it, or give it up with \`DROP TABLE ${progressTable}\` (what it wrote stays)`,
      );
    if (found.note === null) {
      refuseToMix(found, this.options.intoExisting);
      await this.rehearse();
    }
    await this.write(at);
    return {
      tables: tables.length,
      rows: this.rowsBefore.at(-1) ?? 0,
      bytes: this.bytesBefore.at(-1) ?? 0,
      transactions: this.transactions,
      resumedAt: found.note === null ? null : at,
    };
  }

  private state(): Promise<TargetState> {
    const names = [...this.source.tables, ...this.source.objects].map(({ name }) => name);
    return this.target.state(names, 'the same command goes on where the import stands');
  }

  private checkFile(): void {
    const { tables, objects } = this.source;
    const large = tables.filter(({ largestRowBytes }) => largestRowBytes > rowBytesMax);
    if (large.length > 0)
      throw new TransferError(
        `rows of more than ${rowBytesMax} bytes do not fit a request: ${large.map(({ name, largestRowBytes }) => `${name} has one of ${largestRowBytes}`).join(', ')}`,
      );
    if (tables.length + objects.length > objectsMax)
      throw new TransferError(
        `the file has ${tables.length + objects.length} tables, views, indexes and triggers, and at most ${objectsMax} are taken`,
      );
    if (tables.length + objects.length === 0)
      throw new TransferError('there is nothing in it: no table and no view');
  }

  /** Whatever the engine cannot make is named before anything is written: all of the schema is made and rolled back. */
  private async rehearse(): Promise<void> {
    this.report('checking', 'the schema', importStart);
    const statements = rehearsal(this.source);
    const answer = await this.target.patiently(
      () => this.target.link.batch(rehearsalRequest(statements)),
      'nothing has been written',
    );
    const refused = statements.flatMap(({ what }, at) => {
      const error = answer.errors[at + 1] ?? null;
      return error === null ? [] : [`${what}: ${error.message}`];
    });
    if (refused.length > 0)
      throw new TransferError(
        `nothing has been written: the database cannot take\n${refused.map((line) => `  ${line}`).join('\n')}`,
      );
  }

  private async write(from: ImportPosition): Promise<void> {
    let position: ImportPosition | null = from;
    let steps = stepsFrom(this.db, this.parts, from);
    let ahead: { next: ImportStep | null } = { next: null };
    let [pause, progressedAtMs]: [number, number] = [pauseMs.first, performance.now()];
    let batch = takeBatch(from, steps, ahead, this.limits);
    while (batch !== null) {
      this.report('writing', batch.steps[0]?.what ?? '', batch.from);
      const request = batchRequest(batch, this.fingerprint);
      const asked = this.target.link.batch(request.body);
      // The next request is made while this one is under way.
      const following = takeBatch(batch.to, steps, ahead, this.limits);
      const answer = await asked;
      const failure = failureIn(answer);
      if (failure === null) {
        this.transactions += 1;
        this.target.answered();
        this.report('writing', batch.steps.at(-1)?.what ?? '', batch.to);
        batch = following;
        [pause, progressedAtMs] = [pauseMs.first, performance.now()];
        continue;
      }
      const failedStep = answer.kind === 'answered' ? answer.errors.findIndex((error) => error !== null) : -1;
      const trouble = troubleOf(failure.code, failedStep === request.noteStep);
      const failed = batch.steps[failedStep - request.firstStep];
      if (trouble === 'stop' || (trouble === 'smaller' && batch.steps.length === 1))
        throw this.stopped(failure, batch, failed?.what ?? null);
      if (trouble === 'smaller') this.shrink(failure);
      else if (trouble === 'again') {
        if (performance.now() - progressedAtMs > this.target.patienceMs)
          throw this.stopped(failure, batch, null);
        this.target.waits(failure.message);
        await sleep(pause);
        pause = Math.min(pauseMs.longest, pause * 2);
      }
      position = await this.resume(batch, failure);
      if (position === null) return;
      steps.return(undefined);
      steps = stepsFrom(this.db, this.parts, position);
      ahead = { next: null };
      batch = takeBatch(position, steps, ahead, this.limits);
    }
  }

  private shrink({ message }: LinkFailure): void {
    this.limits = halved(this.limits);
    this.listener.note(`${message}; the import goes on in requests half as large`);
  }

  /** Where the import stands, asked of the database. @returns null when it has ended. */
  private async resume(batch: ImportBatch, failure: LinkFailure): Promise<ImportPosition | null> {
    const state = await this.state();
    const found = resumption(state, this.fingerprint, batch);
    if (found.kind === 'at') return found;
    if (found.kind === 'done') return null;
    throw new TransferError(
      `${failure.message}; and the note of progress in the table ${progressTable} is ${found.kind === 'foreign' ? 'of another file' : 'gone, although tables of the file are there'}. Empty the database and import again`,
      failure.code ?? undefined,
    );
  }

  private stopped(failure: LinkFailure, batch: ImportBatch, what: string | null): TransferError {
    const before = what === null ? '' : `${what}: `;
    const small = batch.isFirst && batch.isLast;
    const way = batch.isFirst
      ? 'Nothing has been written'
      : `What was imported before is kept, and noted in the table ${progressTable}: the same command goes on there`;
    const unsure =
      small && failure.code === null ? '. Look whether the tables are there before you run it again' : '';
    return new TransferError(
      `${before}${failure.message}. ${unsure === '' ? way : ''}${unsure}`,
      failure.code ?? undefined,
    );
  }

  private report(phase: ImportSight['phase'], what: string, { part, row }: ImportPosition): void {
    const at = this.parts[part];
    const table = at?.kind === 'rows' ? at.table : null;
    const within = table === null || table.rows === 0 ? 0 : Math.round((table.bytes * row) / table.rows);
    this.listener.progress({
      phase,
      what,
      rows: (this.rowsBefore[part] ?? 0) + row,
      ofRows: this.rowsBefore.at(-1) ?? 0,
      bytes: (this.bytesBefore[part] ?? 0) + within,
      ofBytes: this.bytesBefore.at(-1) ?? 0,
    });
  }
}

/** What lies before each part, and in the end all of it. */
function sums(
  parts: readonly ImportPart[],
  of: (table: { readonly rows: number; readonly bytes: number }) => number,
): readonly number[] {
  const all = [0];
  for (const part of parts) all.push((all.at(-1) ?? 0) + (part.kind === 'rows' ? of(part.table) : 0));
  return all;
}
