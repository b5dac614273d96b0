/** The engine's worker thread with SQLite: it runs on the volume's pages, and every commit becomes redo. */
import assert from 'node:assert/strict';
import { sqlError } from '../../sql/errors.ts';
import type { HeapTurns } from '../engine-heap-turns.ts';
import { collector } from '../garbage.ts';
import { SqliteRuntime } from '../sqlite/sqlite-runtime.ts';
import { type PragmaAnswer, type VolumeFile, VolumeVfs } from '../sqlite/sqlite-vfs.ts';
import { SqliteWasm } from '../sqlite/sqlite-wasm.ts';
import { type DeskWork, type EngineDesk, type OperationMessage, serveDesk } from './engine-desk.ts';
import { Sessions } from './engine-sessions.ts';

const cancelled = sqlError(
  'SQLITE_INTERRUPT',
  'The statement was stopped: its client has gone, or others waited for the thread it ran on.',
);

/** While a cache is not as full as this, a page that it lacks brings those behind it: at worst they take room that nobody needs. */
const coldBelow = 0.5;

class SqliteWork implements DeskWork {
  private readonly desk: EngineDesk;
  private readonly turns: HeapTurns;
  private readonly load: () => Promise<SqliteWasm>;
  private readonly sessions: Sessions;
  private wasm: SqliteWasm;

  /** @param load makes another SQLite, with an empty memory. */
  constructor(desk: EngineDesk, turns: HeapTurns, wasm: SqliteWasm, load: () => Promise<SqliteWasm>) {
    this.desk = desk;
    this.turns = turns;
    this.load = load;
    this.wasm = wasm;
    this.sessions = new Sessions(
      {
        limits: desk.limits,
        store: () => desk.store,
        isWriter: () => desk.mode.kind === 'writer',
        isAbandoned: () => desk.isAbandoned,
        isBlocked: () => desk.isBlocked,
        answer: (answer) => desk.answer(answer),
        answered: () => desk.flushIfDue(),
        begin: (id) => desk.shared.begin(id),
        running: (id) => desk.setRunning(id),
      },
      this.runtimeIn(wasm),
    );
  }

  private runtimeIn(wasm: SqliteWasm): SqliteRuntime {
    const { desk } = this;
    const { commits, limits, shared } = desk;
    const vfs = new VolumeVfs(wasm, {
      limits,
      scratch: desk.scratch,
      store: () => desk.store,
      fetch: (store, page, readPoint) =>
        desk.fetch(store, page, readPoint, store.filled < coldBelow ? limits.readAheadPages : 1),
      hit: () => {
        shared.hit();
        return null;
      },
      reserve: () => this.sessions.mayWrite(),
      prepareCommit: (file) => commits.prepare(file.store, file.pending, this.sessions.committers()),
      finishCommit: (file) => {
        const made = commits.finish(file.store, file.pending);
        desk.noteCommits(made);
        this.sessions.noteCommits(made);
        return file.store.head;
      },
      pragma: (file, name, value) => this.pragma(file, name, value),
    });
    return new SqliteRuntime(wasm, vfs, limits, {
      deadline: Number.POSITIVE_INFINITY,
      stopReason: () => {
        desk.flushMeanwhile();
        return desk.stopReason();
      },
      hasWaiting: () => shared.hasWaiting,
    });
  }

  /** G105. A memory of WebAssembly never shrinks: one that has grown large is left for another, once nothing of a session is in it. */
  rest(): Promise<void> | null {
    const heapBytes = this.wasm.heap().length;
    this.desk.shared.setHeap(heapBytes);
    if (heapBytes <= this.desk.limits.heapKeptBytes) return null;
    if (this.sessions.isOutside) return this.renew();
    this.turns.giveBack();
    return null;
  }

  private async renew(): Promise<void> {
    this.wasm = await this.load();
    this.sessions.use(this.runtimeIn(this.wasm));
    this.desk.shared.setHeap(this.wasm.heap().length);
    // The collector finds the old memory only when nothing on the stack is of it.
    await new Promise((resolve) => setImmediate(resolve));
    collector()();
    this.turns.giveBack();
  }

  post({ id, session, trace, state, operation }: OperationMessage, isMoreComing: boolean): void {
    this.sessions.post(id, session, trace, state, operation, isMoreComing, this.desk.waitedMs);
  }

  closeSession(session: number): void {
    this.sessions.closeSession(session);
  }

  gathered(): void {
    this.sessions.gathered();
  }

  reset(): void {
    this.sessions.reset();
  }

  /** Connections open the new store's pages when they are needed. */
  opened(): void {}

  setBlocked(blocked: boolean): void {
    this.sessions.setBlocked(blocked);
  }

  tick(): number | null {
    return this.sessions.tick();
  }

  private pragma(file: VolumeFile, name: string, value: string | null): PragmaAnswer | null {
    switch (name) {
      case 'journal_mode':
        return { ok: true, text: 'memory' }; // The volume's redo is the journal; WAL cannot be had.
      case 'locking_mode':
        return { ok: true, text: 'normal' };
      case 'cache_spill':
        return { ok: true, text: value === null ? '0' : null }; // Spilling would write pages of a transaction before it commits.
      case 'encoding':
        return { ok: true, text: value === null ? 'UTF-8' : null };
      case 'sextant_read':
        return this.sessions.readPreference(value);
      case 'sextant_position':
        return { ok: true, text: this.position(file) };
      default:
        return null;
    }
  }

  /** The LSN up to which a connection sees everything, and when its newest commit was made, where that was seen. */
  private position(file: VolumeFile): string {
    const at = file.snapshot ?? file.store.head;
    const timeUs = this.desk.commitTimeUs(at);
    return timeUs === null ? `${at}` : `${at} ${new Date(Math.floor(timeUs / 1_000)).toISOString()}`;
  }
}

await serveDesk(cancelled, async (desk, { sqlite }, turns) => {
  assert(sqlite !== null, 'the engine of this thread is SQLite');
  // Nobody waits for the one that writes, so it waits for nobody.
  const load = (): Promise<SqliteWasm> =>
    SqliteWasm.load(sqlite, (bytes) => {
      if (bytes > desk.limits.heapKeptBytes && desk.mode.kind === 'reader')
        turns.take(() => desk.stopReason() === null);
    });
  return new SqliteWork(desk, turns, await load(), load);
});
