/**
 * One PostgreSQL in WebAssembly (PGlite 0.5.17), driven by a loop of our own over the functions that it exports. PGlite's public
 * calls swallow what a file operation throws, and then acknowledge a write that never was; here nothing is swallowed.
 *
 * G90. After any exception, FATAL or PANIC an instance runs nothing more, and what it answered in that call is given to nobody:
 * it is started again from pages that were published before.
 */
import { posix } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { errorResponse, readyForQuery } from '../../../postgres/protocol/core/server-messages.ts';
import type { InterruptFlags } from '../../core/interrupt-cell.ts';
import type { VolumeFiles } from '../core/volume-files.ts';
import { type EmscriptenFs, type MountedFiles, mountFiles, unmountFiles } from '../mount-files.ts';
import { BackendMemory, type ModuleMemory } from './backend-memory.ts';
import { type AnswerFacts, answerFacts } from './core/wire-messages.ts';
import { shareMemory } from './shared-webassembly.ts';

/** Where PostgreSQL finds its data. */
const dataDirectory = '/pglite/data';
const libraries = '/pglite/lib/postgresql';
/**
 * Loaded before memory is kept: emscripten takes a library that it has loaded once for loaded for good, and after a restart it
 * would be code over zeroed data. The others (conversions between encodings) need functions which PGlite does not export.
 */
const preloaded = ['plpgsql.so', 'dict_snowball.so'] as const;
const dlopenNowGlobal = 2 | 256;

/** What `main` returns once PostgreSQL waits for its first message, and the status of its jump back to the main loop. */
const startedStatus = 99;
const jumpStatus = 100;

/** What a database needs; each can be followed by others, the last one counts. */
const startParameters = [
  '--single',
  '-F', // The volume is durable in its own way.
  '-O',
  '-j',
  ...parameters({
    search_path: 'public',
    exit_on_error: 'false',
    log_checkpoints: 'false',
    log_min_messages: 'fatal',
    max_worker_processes: '0',
    max_parallel_workers: '0',
    max_parallel_workers_per_gather: '0',
    max_parallel_maintenance_workers: '0',
    io_method: 'sync',
    full_page_writes: 'off', // A set of pages is applied whole or not at all.
    wal_level: 'minimal',
    max_wal_senders: '0',
    wal_init_zero: 'off',
    wal_recycle: 'off', // A segment with old bytes makes 6 to 8 KB of difference at each first write to a page.
    temp_file_limit: '262144', // KiB of what a statement spills, which lies in memory here.
    synchronous_commit: 'on', // Off writes nothing at commit: an answer would speak of what is in no page.
  }),
];

export function parameters(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** The instance is of no use until it is started again. */
export class BackendBroken extends Error {
  override readonly name = 'BackendBroken';
}

/** What is used of PGlite's module. `test/gateway/engine/postgres/pglite-contract.test.ts` checks that it is there. */
export interface PostgresModule extends ModuleMemory {
  readonly HEAPU8: Uint8Array;
  readonly FS: EmscriptenFs & {
    readonly streams: (object | null | undefined)[];
    read(...args: readonly unknown[]): number;
    write(...args: readonly unknown[]): number;
    open(path: unknown, flags: unknown, ...args: readonly unknown[]): object;
    mkdirTree(path: string, mode: number): void;
  };
  /** Addresses of flags that PostgreSQL looks at between rows. */
  readonly _InterruptPending: number;
  readonly _QueryCancelPending: number;
  addFunction(act: (pointer: number, length: number) => number, signature: string): number;
  stringToUTF8OnStack(text: string): number;
  callMain(args: string[]): number;
  _dlopen(path: number, flags: number): number;
  _pgl_set_rw_cbs(read: number, write: number): void;
  _pgl_setPGliteActive(active: number): number;
  _pgl_startPGlite(): void;
  _pgl_pq_flush(): void;
  _pq_buffer_remaining_data(): number;
  _PostgresMainLoopOnce(): void;
  _PostgresMainLongJmp(): void;
  _PostgresSendReadyForQueryIfNecessary(): void;
  _ReadNextFullTransactionId(): bigint;
}

/** What is asked while PostgreSQL runs, and acted on in this thread; see `interruptFlags` for others. */
export interface BackendWatch {
  /** Whether what runs now is to be stopped, whoever has asked for it. */
  stopped(): boolean;
  /** A file is read or written, or an answer grows. */
  working(): void;
  /** An answer grows. @param bytes of the call so far. @returns false to stop the statement: what it says from then on is dropped. */
  answering(bytes: number): boolean;
}

/** What PostgreSQL said in one call. */
export interface BackendAnswer extends AnswerFacts {
  /** Whole messages. */
  readonly messages: Uint8Array;
}

/** SQLSTATE of an answer that was cut: program limit exceeded. */
const tooLong = '54000';
const nothing = new Uint8Array(0);

export class Backend {
  private readonly module: PostgresModule;
  private readonly memory: BackendMemory;
  private readonly watch: BackendWatch;
  /** Streams of the instance itself: standard input and output. */
  private readonly ownStreams: ReadonlySet<object | null | undefined>;
  private mounted: MountedFiles | null = null;
  private begun = false;
  private running = false;
  private input: Uint8Array = nothing;
  private at = 0;
  private output: Uint8Array[] = [];
  private outputBytes = 0;
  private cut = false;

  private constructor(module: PostgresModule, watch: BackendWatch) {
    this.module = module;
    this.watch = watch;
    module._pgl_set_rw_cbs(
      module.addFunction((pointer, length) => this.give(pointer, length), 'ipi'),
      module.addFunction((pointer, length) => this.take(pointer, length), 'ipi'),
    );
    for (const library of preloaded) {
      const stack = module.stackSave();
      if (module._dlopen(module.stringToUTF8OnStack(`${libraries}/${library}`), dlopenNowGlobal) === 0)
        throw new Error(`PGlite cannot load ${library}`);
      module.stackRestore(stack);
    }
    module.FS.mkdirTree(dataDirectory, 0o700);
    this.ownStreams = new Set(module.FS.streams);
    this.watchFiles();
    this.guardServerFiles();
    this.memory = new BackendMemory(module);
  }

  /** All of them: what PostgreSQL spills lies beside the volume's files. */
  private watchFiles(): void {
    const { FS } = this.module;
    for (const name of ['read', 'write'] as const) {
      const act = FS[name].bind(FS);
      FS[name] = (...args) => {
        this.watch.working();
        return act(...args);
      };
    }
  }

  /**
   * G96. While PostgreSQL runs, nothing outside the data directory is opened for writing, and no file in it is written anew that it
   * does not write by itself: not by a COPY or `lo_export` in a block or function, either, whose text nobody sees before. The first
   * would be in this thread's memory, and gone with it; the second would be in place of a table.
   */
  private guardServerFiles(): void {
    const { FS } = this.module;
    const open = FS.open.bind(FS);
    FS.open = (path, flags, ...args) => {
      if (this.running && isServerFile(path, flags)) throw new FS.ErrnoError(notPermitted);
      return open(path, flags, ...args);
    };
  }

  /** Loads PGlite: a quarter of a second of a core. Nothing runs until `start`. */
  static async load(watch: BackendWatch): Promise<Backend> {
    shareMemory();
    const instance = await PGlite.create({ noInitDb: true });
    return new Backend(instance.Module as unknown as PostgresModule, watch);
  }

  /** Whether it takes messages: it was started, and nothing went wrong since. */
  get isRunning(): boolean {
    return this.running;
  }

  /** What stops the statement that runs, from any thread. */
  get interruptFlags(): InterruptFlags {
    const { wasmMemory, _InterruptPending, _QueryCancelPending } = this.module;
    const { buffer: memory } = wasmMemory;
    if (!(memory instanceof SharedArrayBuffer)) throw new Error("PostgreSQL's memory is not shared");
    // The one that is looked at first comes last.
    return { memory, addresses: [_QueryCancelPending, _InterruptPending] };
  }

  /** Counts up when a transaction writes: one that only reads has no number. */
  get nextTransaction(): bigint {
    return this.module._ReadNextFullTransactionId();
  }

  /**
   * Starts PostgreSQL on files, with its own recovery if they were not left in peace, as if nothing had run before. Recovery
   * changes pages. @throws what a file operation threw, or BackendBroken
   */
  start(files: VolumeFiles, settings: Readonly<Record<string, string>>): void {
    this.reset();
    const { module } = this;
    this.begun = true;
    this.mounted = mountFiles(module.FS, () => files, dataDirectory);
    this.guard(() => {
      module._pgl_setPGliteActive(1);
      const status = module.callMain([
        ...startParameters,
        ...parameters(settings),
        '-D',
        dataDirectory,
        'postgres',
      ]);
      if (status !== startedStatus)
        throw new BackendBroken(`PostgreSQL did not start on the files of the volume (status ${status})`);
      module._pgl_startPGlite();
    });
    this.running = true;
  }

  /** Gives everything up without a word: no page is written. */
  stop(): void {
    this.running = false;
  }

  /** Puts the instance where it was after `load`. */
  private reset(): void {
    this.running = false;
    if (!this.begun) return;
    const { streams } = this.module.FS;
    // Closing them would go to files that are given up.
    for (const [at, stream] of streams.entries()) if (!this.ownStreams.has(stream)) streams[at] = null;
    if (this.mounted !== null) unmountFiles(this.module.FS, dataDirectory);
    this.mounted = null;
    this.memory.restore(this.module);
    this.begun = false;
  }

  /**
   * Runs whole messages, one after another. @returns what PostgreSQL answers: errors in SQL among it, as messages.
   * @throws what a file operation threw, or BackendBroken: nothing of the call counts (G90)
   */
  run(messages: Uint8Array): BackendAnswer {
    if (!this.running) throw new BackendBroken('PostgreSQL is not running');
    const { module } = this;
    this.input = messages;
    this.at = 0;
    this.output = [];
    this.outputBytes = 0;
    this.cut = false;
    // What asked for it may have come between two calls of one operation.
    if (this.watch.stopped()) this.interrupt();
    try {
      this.guard(() => {
        while (this.at < messages.length || module._pq_buffer_remaining_data() > 0) this.runOne();
        module._PostgresSendReadyForQueryIfNecessary();
        module._pgl_pq_flush();
      });
    } finally {
      this.input = nothing;
      this.calm();
    }
    if (this.cut) return this.cutAnswer();
    const output = this.output.length === 1 ? (this.output[0] ?? nothing) : Buffer.concat(this.output);
    this.output = [];
    const facts = answerFacts(output);
    if (facts.ends === null) return { messages: output, ...facts };
    this.running = false;
    throw new BackendBroken(facts.ends);
  }

  /** An answer that was too long: an error takes its place, and the session goes on as PostgreSQL has left it. */
  private cutAnswer(): BackendAnswer {
    const end = Buffer.concat(this.output.slice(-2)).subarray(-readyForQuery('I').length);
    this.output = [];
    const { status, ends } = end[0] === 'Z'.charCodeAt(0) ? answerFacts(end) : { status: null, ends: null };
    const error = {
      code: tooLong,
      message: 'The answer was longer than one answer may be, and the statement was stopped.',
    };
    const told = errorResponse('ERROR', error);
    const messages = status === null ? told : Buffer.concat([told, readyForQuery(status)]);
    return { messages, status, errors: [error], tags: [], ends };
  }

  /** Asks PostgreSQL to stop the statement that runs: from within a file operation, or while it answers. */
  interrupt(): void {
    this.setInterrupt(1);
  }

  /** What asked for a stop is over. */
  calm(): void {
    this.setInterrupt(0);
  }

  private setInterrupt(flag: 0 | 1): void {
    const { HEAPU8, _InterruptPending, _QueryCancelPending } = this.module;
    HEAPU8[_QueryCancelPending] = flag;
    HEAPU8[_InterruptPending] = flag;
  }

  private runOne(): void {
    const { module } = this;
    const stack = module.stackSave();
    try {
      module._PostgresMainLoopOnce();
    } catch (error) {
      if (!isJump(error)) throw error;
      module.stackRestore(stack);
      module._PostgresMainLongJmp();
    }
  }

  /** G90: what a file operation threw may have been taken for an end of the program on its way here. */
  private guard(act: () => void): void {
    let thrown: unknown = null;
    try {
      act();
    } catch (error) {
      thrown = error ?? new BackendBroken('PostgreSQL threw nothing in particular');
    }
    const fault = this.mounted?.takeFault() ?? null;
    if (thrown === null && fault === null) return;
    this.running = false;
    if (fault !== null) throw fault;
    if (thrown instanceof BackendBroken) throw thrown;
    throw new BackendBroken(`PostgreSQL ended in the middle of a call: ${describe(thrown)}`);
  }

  /** PostgreSQL reads from its client. */
  private give(pointer: number, length: number): number {
    const part = this.input.subarray(this.at, this.at + length);
    this.module.HEAPU8.set(part, pointer);
    this.at += part.length;
    return part.length;
  }

  /** PostgreSQL writes to its client. */
  private take(pointer: number, length: number): number {
    this.outputBytes += length;
    this.watch.working();
    this.cut ||= !this.watch.answering(this.outputBytes);
    if (this.cut) {
      this.interrupt();
      this.output.splice(0, this.output.length - 1); // How it ends is all that counts.
    }
    this.output.push(this.module.HEAPU8.slice(pointer, pointer + length));
    return length;
  }
}

/** Error number of EPERM in emscripten's C library; PostgreSQL makes 42501 of it. */
const notPermitted = 63;
/** Of a mode of opening: how it is accessed, only to be written, and whether what was there goes. */
const accessModes = 3;
const writeOnly = 1;
const truncate = 0o1000;
/** What PostgreSQL itself writes anew in its directory, without reading it again. What it spills is read, too. */
const ownNewFile = /(?:\.tmp|\/pg_internal\.init\.\d+)$/;
/** Memory that PostgreSQL shares with itself is a device here. */
const devices = '/dev/';

/** Whether text of a client's must have asked for this, for PostgreSQL itself does not. */
function isServerFile(path: unknown, flags: unknown): boolean {
  if (typeof path !== 'string' || typeof flags !== 'number' || (flags & accessModes) === 0) return false;
  const file = posix.normalize(path);
  if (file.startsWith(devices)) return false;
  const isNew = (flags & accessModes) === writeOnly && (flags & truncate) !== 0;
  return !file.startsWith(`${dataDirectory}/`) || (isNew && !ownNewFile.test(file));
}

function isJump(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'status' in error && error.status === jumpStatus;
}

function describe(error: unknown): string {
  if (error instanceof Error) return error.message;
  if (typeof error === 'object' && error !== null && 'status' in error) return `exit status ${error.status}`;
  return String(error);
}
