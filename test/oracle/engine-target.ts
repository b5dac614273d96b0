/**
 * Scripts on the engine alone, without a gateway around it: on a writer, or on a reader first, as a gateway that is not the
 * writer has it. Thousands run in a minute.
 */

import assert from 'node:assert/strict';
import type { EngineAnswer } from '../../gateway/engine/core/engine-protocol.ts';
import { Engine } from '../../gateway/engine/engine.ts';
import type { EngineSession } from '../../gateway/engine/engine-stream.ts';
import type { AnyOperationValue, SqlOperation } from '../../gateway/sql/operation.ts';
import { isBatch } from '../../gateway/sql/operation.ts';
import type { SqlOutcome, SqlResult, SqlStatement } from '../../gateway/sql/sql.ts';
import { freshStream, type StreamState } from '../../gateway/sql/stream-state.ts';
import { defaultGeometry } from '../../storage/core.ts';
import { concatBytes } from '../../storage/redo/bytes.ts';
import { zeroLsn } from '../../storage/redo/ids.ts';
import { MemoryVolume } from '../gateway/engine/engine-volume.ts';
import { type Answer, description, type Outcome, ownColumns, type StatementAnswer } from './answer.ts';
import type { Target } from './oracle.ts';
import { asText, type Operation, type Script, type Statement, setUp } from './script.ts';
import { cell, settingPragma } from './stock-stream.ts';

type AnyAnswer = EngineAnswer<AnyOperationValue>;

/** A writer and a reader that follows it; begun anew for each sequence. */
export class EnginePair {
  volume = new MemoryVolume();
  readonly writer: Engine;
  readonly reader: Engine;
  private followed = 0;

  private constructor(engines: (pair: () => EnginePair) => readonly [Engine, Engine]) {
    [this.writer, this.reader] = engines(() => this);
  }

  static async start(): Promise<EnginePair> {
    const held: { pair: EnginePair | null } = { pair: null };
    const pair = (): EnginePair => {
      assert(held.pair !== null);
      return held.pair;
    };
    const start = (): Promise<Engine> =>
      Engine.start({
        pageCacheBytes: 64 * 1024 * 1024,
        readPages: async (pages, readPoint) => pages.map((page) => pair().volume.page(page, readPoint)),
        onCommit: (commit) => pair().committed(commit),
        onFatal: (error) => {
          throw error;
        },
      });
    const engines = await Promise.all([start(), start()]);
    held.pair = new EnginePair(() => engines);
    return held.pair;
  }

  private committed(commit: Parameters<MemoryVolume['add']>[0]): void {
    this.volume.add(commit);
    this.volume.durable = commit.lsn;
    this.writer.setDurable(commit.lsn);
  }

  /** Forgets everything. */
  async begin(): Promise<void> {
    this.volume = new MemoryVolume();
    this.followed = 0;
    await this.writer.open({ kind: 'writer', lsn: zeroLsn, pgBytes: defaultGeometry.pgBytes });
    await this.reader.open({ kind: 'reader', readPoint: zeroLsn });
  }

  /** Gives the reader what the writer has committed. */
  follow(): void {
    const frames = this.volume.frames.slice(this.followed);
    this.followed = this.volume.frames.length;
    if (frames.length > 0) this.reader.apply(concatBytes(frames), this.volume.durable);
  }

  async close(): Promise<void> {
    await Promise.all([this.writer.close(), this.reader.close()]);
  }
}

/** A script's streams on a pair of engines; `readerFirst` as the gateway of a secondary region has them. */
export class EngineTarget implements Target {
  readonly name: string;
  private readonly pair: EnginePair;
  private readonly readerFirst: boolean;

  constructor(pair: EnginePair, readerFirst: boolean) {
    this.name = readerFirst ? 'reader first' : 'writer';
    this.pair = pair;
    this.readerFirst = readerFirst;
  }

  async run(script: Script): Promise<readonly Answer[]> {
    await this.pair.begin();
    await new EngineStream(this.pair, false).perform({ kind: 'sequence', statements: setUp });
    let stream = new EngineStream(this.pair, this.readerFirst);
    const answers: Answer[] = [];
    for (const operation of script.operations) {
      if (operation.kind === 'reopen') {
        stream.close();
        stream = new EngineStream(this.pair, this.readerFirst);
        answers.push({ outcome: { kind: 'done' }, autocommit: true });
      } else answers.push(await stream.perform(operation));
    }
    stream.close();
    return answers;
  }
}

/** One stream, its state carried by hand as a gateway does. */
class EngineStream {
  private readonly pair: EnginePair;
  private readonly readerFirst: boolean;
  private state: StreamState = freshStream;
  /** Where it has something open. */
  private at: EngineSession | null = null;

  constructor(pair: EnginePair, readerFirst: boolean) {
    this.pair = pair;
    this.readerFirst = readerFirst;
  }

  async perform(operation: Exclude<Operation, { kind: 'reopen' }>): Promise<Answer> {
    const { outcome, autocommit } = await this.answer(asked(operation));
    return { outcome: outcomeOf(operation, outcome), autocommit };
  }

  private async answer(operation: SqlOperation): Promise<AnyAnswer> {
    if (this.at !== null) return this.runAt(operation, this.at);
    if (!this.readerFirst) return this.runAt(operation, this.pair.writer.openSession());
    this.pair.follow();
    const answer = await this.runAt(operation, this.pair.reader.openSession());
    if (answer.outcome.ok || answer.outcome.error.code !== 'SEXTANT_READ_ONLY') return answer;
    assert.equal(answer.state, null, 'what is refused has changed nothing');
    assert(answer.autocommit && !answer.holds, 'what is refused leaves nothing open');
    return this.runAt(operation, this.pair.writer.openSession());
  }

  private async runAt(operation: SqlOperation, session: EngineSession): Promise<AnyAnswer> {
    const answer = await new Promise<AnyAnswer>((resolve) =>
      session.run(operation, null, this.state, resolve),
    );
    this.state = answer.state ?? this.state;
    this.at = answer.autocommit && !answer.holds ? null : session;
    if (this.at === null) session.close();
    return answer;
  }

  close(): void {
    this.at?.close();
    this.at = null;
  }
}

const asStatement = ({ sql, args }: Statement): SqlStatement => ({
  sql,
  args,
  namedArgs: [],
  wantRows: true,
});

/** An operation as the engine takes it. */
function asked(operation: Exclude<Operation, { kind: 'reopen' }>): SqlOperation {
  switch (operation.kind) {
    case 'execute':
      return { kind: 'execute', statement: asStatement(operation.statement) };
    case 'batch':
      return {
        kind: 'batch',
        steps: operation.steps.map((step) => ({ condition: step.condition, statement: asStatement(step) })),
      };
    case 'sequence':
      return { kind: 'sequence', sql: asText(operation.statements) };
    case 'describe':
      return operation;
  }
}

function outcomeOf(operation: Operation, outcome: AnyAnswer['outcome']): Outcome {
  if (!outcome.ok) return { kind: 'error', ...outcome.error };
  const { value } = outcome;
  if (value === null) return { kind: 'done' };
  if ('rows' in value) return statementOf({ ok: true, value });
  if (isBatch(value)) return { kind: 'batch', steps: value.map(statementOf) };
  assert('params' in value, 'SQLite is asked for nothing else');
  const sql = operation.kind === 'describe' ? operation.sql : '';
  if (settingPragma.test(sql)) return { kind: 'done' };
  return description(sql, value.columns, value.params.length, value.isReadonly);
}

function statementOf(outcome: SqlOutcome<SqlResult> | null): StatementAnswer {
  if (outcome === null) return { kind: 'skipped' };
  if (!outcome.ok) return { kind: 'error', ...outcome.error };
  const { columns, rows, affectedRowCount, lastInsertRowid } = outcome.value;
  return {
    kind: 'result',
    columns: ownColumns(columns),
    rows: rows.map((row) => row.map(cell)),
    affected: affectedRowCount,
    rowid: lastInsertRowid === null ? null : `${lastInsertRowid}`,
  };
}
