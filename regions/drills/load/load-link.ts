/** The drill's end of its load: starts the process, gives it orders, and keeps the ledger of what it tells. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LedgerEntry } from '../core/ledger.ts';
import type { RegionRows } from '../core/ledger-account.ts';
import {
  type ClientAddress,
  type FromLoad,
  fromLoadSchema,
  reachMs,
  type ToLoad,
} from '../core/load-messages.ts';

const loadFile = fileURLToPath(new URL('load-process.ts', import.meta.url));
/** Engines that have not run yet are waited for, and then the table is made. */
const openMs = reachMs + 20_000;
const readMs = 60_000;
const endMs = 15_000;
/** Beyond the limit that a gateway puts on a waiting write. */
export const drainMs = 15_000;

/** What a drill needs of its load. */
export type Load = Pick<LoadLink, 'entries' | 'dead' | 'run' | 'pause' | 'read' | 'end'>;

export class LoadLink {
  readonly #child: ChildProcess;
  readonly #entries = new Map<number, LedgerEntry>();
  readonly #waits = new Set<(message: FromLoad | null) => void>();
  #dead: string | null = null;

  private constructor() {
    this.#child = fork(loadFile, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [] });
    this.#child.on('message', (message) => {
      const parsed = fromLoadSchema.safeParse(message);
      if (parsed.success) this.#take(parsed.data);
    });
    const ended = (why: string): void => {
      this.#dead ??= why;
      for (const wait of this.#waits) wait(null);
    };
    this.#child.once('error', (error) => ended(error.message));
    this.#child.once('exit', (code, signal) => ended(`the load's process ended (${signal ?? code})`));
  }

  /** Starts the load's process and makes its table. @throws Error when that cannot be done. */
  static async open(given: {
    readonly drill: string;
    readonly table: string;
    readonly clients: readonly ClientAddress[];
    readonly perSecond: number;
    readonly authority: string | null;
  }): Promise<LoadLink> {
    const link = new LoadLink();
    const opened = link.#once('opened', openMs);
    link.#order({ kind: 'open', ...given, clients: [...given.clients] });
    try {
      await opened;
    } catch (error) {
      link.kill();
      throw error;
    }
    return link;
  }

  /** Every write so far that has ended, and after a pause every write. */
  get entries(): readonly LedgerEntry[] {
    return [...this.#entries.values()];
  }

  /** Why the load's process is gone; null while it runs. */
  get dead(): string | null {
    return this.#dead;
  }

  run(): void {
    this.#order({ kind: 'run' });
  }

  /** Stops writing. @returns how many writes have no answer, by when a gateway would have given one. */
  async pause(patienceMs: number = drainMs): Promise<number> {
    const paused = this.#once('paused', patienceMs + readMs);
    this.#order({ kind: 'pause', patienceMs });
    return (await paused).waiting;
  }

  /** What every region shows. */
  async read(): Promise<readonly (RegionRows & { readonly reason: string | null })[]> {
    const rows = this.#once('rows', readMs);
    this.#order({ kind: 'read' });
    return (await rows).regions.map((region) => ({
      region: region.region,
      rows: region.rows === null ? null : new Map(region.rows),
      reason: region.reason,
    }));
  }

  async end(dropTable: boolean): Promise<void> {
    if (this.#dead !== null) return;
    const ended = this.#once('ended', endMs).catch(() => undefined);
    this.#order({ kind: 'end', dropTable });
    await ended;
    this.kill();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #order(order: ToLoad): void {
    if (this.#dead === null) this.#child.send(order, () => undefined);
  }

  #take(message: FromLoad): void {
    if (message.kind === 'wrote') for (const entry of message.entries) this.#entries.set(entry.id, entry);
    for (const wait of this.#waits) wait(message);
  }

  /** The next message of a kind. @throws Error when the process ends, fails, or says nothing within `timeoutMs`. */
  #once<K extends FromLoad['kind']>(kind: K, timeoutMs: number): Promise<Extract<FromLoad, { kind: K }>> {
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#waits.delete(wait);
      };
      const fail = (why: string): void => {
        finish();
        reject(new Error(why));
      };
      const wait = (message: FromLoad | null): void => {
        if (message === null) fail(this.#dead ?? "the load's process ended");
        else if (message.kind === 'failed') fail(`the load: ${message.message}`);
        else if (isOf(message, kind)) {
          finish();
          resolve(message);
        }
      };
      const timer = setTimeout(() => fail(`the load said nothing for ${timeoutMs} ms`), timeoutMs);
      this.#waits.add(wait);
      if (this.#dead !== null) wait(null);
    });
  }
}

const isOf = <K extends FromLoad['kind']>(
  message: FromLoad,
  kind: K,
): message is Extract<FromLoad, { kind: K }> => message.kind === kind;
