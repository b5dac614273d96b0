/** A volume in memory for engine tests: it folds the redo the engine emits, and serves pages at any durable read point. */

import assert from 'node:assert/strict';
import type { EngineCommitEvent } from '../../../gateway/engine/commit-events.ts';
import type { EngineLimits } from '../../../gateway/engine/core/engine-limits.ts';
import type { EngineAnswer } from '../../../gateway/engine/core/engine-protocol.ts';
import { Engine, type EngineOptions } from '../../../gateway/engine/engine.ts';
import type { EngineSession } from '../../../gateway/engine/engine-stream.ts';
import type { BatchStep, SqlResult, SqlStatement, SqlValue } from '../../../gateway/sql/sql.ts';
import { defaultGeometry } from '../../../storage/core.ts';
import { encodeFrame } from '../../../storage/redo/frame.ts';
import { epoch, type Lsn, lsn, type PageNo, type PgId, zeroLsn } from '../../../storage/redo/ids.ts';
import { redoLimits } from '../../../storage/redo/limits.ts';
import {
  applyChange,
  decodeRecords,
  type MtrRun,
  type PageChange,
  type Shrink,
} from '../../../storage/redo/record.ts';

interface StoredChange {
  readonly lsn: Lsn;
  readonly change: PageChange | Shrink;
}

const frameBytes = 64 * 1024;

/** The redo of a commit that is in memory. */
export function runsIn(mtr: EngineCommitEvent['mtr']): readonly MtrRun[] {
  assert('runs' in mtr, 'the redo is in memory');
  return mtr.runs;
}

export class MemoryVolume {
  readonly commits: EngineCommitEvent[] = [];
  readonly reads: { readonly page: PageNo; readonly readPoint: Lsn }[] = [];
  /** Frames in LSN order. */
  readonly frames: Uint8Array[] = [];
  /** Of each shrink, how many pages it left. */
  readonly endings: number[] = [];
  end: Lsn = zeroLsn;
  durable: Lsn = zeroLsn;
  /** While redo of a commit is being read. */
  reading: Promise<void> | null = null;
  private readonly pages = new Map<PageNo, StoredChange[]>();
  private readonly lastOfPg = new Map<PgId, Lsn>();

  /** Takes a commit. @param done called when all of its redo is here: at once, unless it is to be read from a file. */
  add(commit: EngineCommitEvent, done: () => void = () => undefined): void {
    this.commits.push(commit);
    const { mtr } = commit;
    const take = (runs: readonly MtrRun[]): void => {
      this.fold(commit, runs);
      done();
    };
    if ('runs' in mtr && this.reading === null) {
      take(mtr.runs);
      return;
    }
    const before = this.reading ?? Promise.resolve();
    const reading: Promise<void> = before.then(async () => {
      if ('runs' in mtr) take(mtr.runs);
      else {
        const parts = await mtr.read(0, mtr.stretches.length);
        take(mtr.stretches.map(({ pg }, at) => ({ pg, bytes: parts[at] ?? new Uint8Array(0) })));
      }
      if (this.reading === reading) this.reading = null;
    });
    this.reading = reading;
  }

  private fold(commit: EngineCommitEvent, runs: readonly MtrRun[]): void {
    assert.equal(commit.lsn - commit.mtr.byteLength, this.end, 'commits follow one another without a gap');
    for (const { pg, bytes } of runs) {
      const decoded = decodeRecords(bytes, this.end);
      assert(decoded.kind === 'records');
      let base = this.end;
      let part = this.end;
      for (const record of decoded.records) {
        if (record.lsn - part > frameBytes) {
          this.frame(pg, bytes.subarray(part - base, this.end - base), part);
          part = this.end;
        }
        this.end = record.lsn;
        if (record.kind === 'commit') continue;
        const stored = { lsn: record.lsn, change: record };
        if (record.kind === 'shrink') {
          this.endings.push(record.pages);
          for (const [page, chain] of this.pages) if (page > record.pages) chain.push(stored);
          continue;
        }
        const chain = this.pages.get(record.page);
        if (chain === undefined) this.pages.set(record.page, [stored]);
        else chain.push(stored);
      }
      if (part < this.end) this.frame(pg, bytes.subarray(part - base), part);
      base = this.end;
    }
    assert.equal(this.end, commit.lsn);
  }

  private frame(pg: PgId, payload: Uint8Array, base: Lsn): void {
    const prevPg = this.lastOfPg.get(pg) ?? zeroLsn;
    this.frames.push(encodeFrame({ epoch: epoch(1), pg, base, prevPg }, [payload]));
    this.lastOfPg.set(pg, lsn(base + payload.length));
  }

  page(page: PageNo, readPoint: Lsn): Uint8Array | null {
    this.reads.push({ page, readPoint });
    assert(
      readPoint <= this.durable,
      `a page was asked for at ${readPoint}, above the durable ${this.durable}`,
    );
    const chain = (this.pages.get(page) ?? []).filter((stored) => stored.lsn <= readPoint);
    let image: Uint8Array | null = null;
    for (const { change } of chain)
      image =
        change.kind === 'shrink'
          ? null
          : new Uint8Array(applyChange(image ?? new Uint8Array(redoLimits.pageBytes), change));
    return image;
  }
}

export interface TestEngine {
  readonly engine: Engine;
  readonly volume: MemoryVolume;
  readonly fatal: Error[];
}

/** An engine whose redo becomes durable at once, unless `durable` is false. */
export async function startEngine(
  volume: MemoryVolume,
  options: Partial<EngineOptions> = {},
  durable = true,
): Promise<TestEngine> {
  const fatal: Error[] = [];
  const engine: Engine = await Engine.start({
    pageCacheBytes: 64 * 1024 * 1024,
    readPages: async (pages, readPoint) => pages.map((page) => volume.page(page, readPoint)),
    onCommit: (commit) =>
      volume.add(commit, () => {
        if (!durable) return;
        volume.durable = commit.lsn;
        engine.setDurable(commit.lsn);
      }),
    onFatal: (error) => fatal.push(error),
    ...options,
  });
  return { engine, volume, fatal };
}

const opened: TestEngine[] = [];

/** An engine that writes to `volume`, until `closeEngines`. */
export async function openWriter(
  options: Partial<EngineOptions> = {},
  volume = new MemoryVolume(),
  durable = true,
  { pgBytes } = defaultGeometry,
): Promise<TestEngine> {
  const test = await startEngine(volume, options, durable);
  opened.push(test);
  await test.engine.open({ kind: 'writer', lsn: volume.end, pgBytes });
  return test;
}

/** An engine that reads `volume`, until `closeEngines`. */
export async function openReader(
  volume: MemoryVolume,
  options: Partial<EngineOptions> = {},
  readPoint = volume.durable,
): Promise<TestEngine> {
  const test = await startEngine(volume, options);
  opened.push(test);
  await test.engine.open({ kind: 'reader', readPoint });
  return test;
}

/** Closes what was opened: to be called after each test. @throws AssertionError when an engine had died of itself. */
export async function closeEngines(): Promise<void> {
  for (const { engine, fatal } of opened.splice(0)) {
    await engine.close();
    assert.deepEqual(fatal, []);
  }
}

export function statement(sql: string, args: readonly SqlValue[] = []): SqlStatement {
  return { sql, args, namedArgs: [], wantRows: true };
}

/** Steps that run whatever became of those before them. */
export function always(...sqls: string[]): BatchStep[] {
  return sqls.map((sql) => ({ condition: null, statement: statement(sql) }));
}

export function limited(limits: Partial<EngineLimits>): Partial<EngineOptions> {
  return { limits };
}

export function execute(
  session: EngineSession,
  sql: string,
  ...args: SqlValue[]
): Promise<EngineAnswer<SqlResult>> {
  return session.execute(statement(sql, args), null);
}

/** Runs a statement that must succeed. @returns its result. */
export async function run(session: EngineSession, sql: string, ...args: SqlValue[]): Promise<SqlResult> {
  const { outcome } = await execute(session, sql, ...args);
  assert(outcome.ok, `${sql}: ${outcome.ok ? '' : `${outcome.error.code} ${outcome.error.message}`}`);
  return outcome.value;
}

export async function rows(
  session: EngineSession,
  sql: string,
  ...args: SqlValue[]
): Promise<readonly (readonly SqlValue[])[]> {
  return (await run(session, sql, ...args)).rows;
}

/** Runs a statement that must fail. @returns the error's code. */
export async function code(session: EngineSession, sql: string, ...args: SqlValue[]): Promise<string> {
  const { outcome } = await execute(session, sql, ...args);
  assert(!outcome.ok, `${sql} should fail`);
  return outcome.error.code;
}
