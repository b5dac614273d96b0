/** A stream through the engine: at a writer alone, or at a reader first, as a gateway that is not the writer has it. */
import assert from 'node:assert/strict';
import type { AnyOperationValue, EngineAnswer, SqlOperation } from '../../../gateway/core/engine-protocol.ts';
import { freshStream, type StreamState } from '../../../gateway/core/stream-state.ts';
import { Engine, type EngineSession } from '../../../gateway/shell/engine.ts';
import { concatBytes } from '../../../storage/core/bytes.ts';
import { zeroLsn } from '../../../storage/core/ids.ts';
import { redoLimits } from '../../../storage/core/limits.ts';
import { MemoryVolume } from '../engine-volume.ts';
import { type Answer, comparable } from './stock.ts';

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
        pgBytes: redoLimits.pgBytesDefault,
        readPage: async (page, readPoint) => pair().volume.page(page, readPoint),
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
    await this.writer.open({ kind: 'writer', lsn: zeroLsn });
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

/** One stream, its state carried by hand as a gateway does. */
export class OracleStream {
  private readonly pair: EnginePair;
  private readonly readerFirst: boolean;
  private state: StreamState = freshStream;
  /** Where it has something open. */
  private at: { readonly session: EngineSession; readonly isWriter: boolean } | null = null;

  constructor(pair: EnginePair, readerFirst: boolean) {
    this.pair = pair;
    this.readerFirst = readerFirst;
  }

  async perform(operation: SqlOperation): Promise<Answer> {
    const answer = await this.answer(operation);
    const { outcome } = answer;
    if (operation.kind === 'sequence') return [outcome.ok];
    assert(outcome.ok || operation.kind === 'execute', outcome.ok ? '' : outcome.error.message);
    if (!outcome.ok) return [outcome.error.code];
    const { value } = outcome;
    assert(value !== null && !('params' in value));
    return 'rows' in value ? [comparable({ ok: true, value })] : value.map(comparable);
  }

  private async answer(operation: SqlOperation): Promise<AnyAnswer> {
    if (this.at !== null) return this.runAt(operation, this.at.session, this.at.isWriter);
    if (!this.readerFirst) return this.runAt(operation, this.pair.writer.openSession(), true);
    this.pair.follow();
    const answer = await this.runAt(operation, this.pair.reader.openSession(), false);
    if (answer.outcome.ok || answer.outcome.error.code !== 'SEXTANT_READ_ONLY') return answer;
    assert.equal(answer.state, null, 'what is refused has changed nothing');
    assert(answer.autocommit && !answer.holds, 'what is refused leaves nothing open');
    return this.runAt(operation, this.pair.writer.openSession(), true);
  }

  private async runAt(
    operation: SqlOperation,
    session: EngineSession,
    isWriter: boolean,
  ): Promise<AnyAnswer> {
    const answer = await new Promise<AnyAnswer>((resolve) =>
      session.run(operation, null, this.state, resolve),
    );
    this.state = answer.state ?? this.state;
    this.at = answer.autocommit && !answer.holds ? null : { session, isWriter };
    if (this.at === null) session.close();
    return answer;
  }

  close(): void {
    this.at?.session.close();
    this.at = null;
  }
}
