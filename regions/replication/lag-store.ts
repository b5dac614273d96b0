/** What the agent remembers of lag, its secondaries' or its own region's, on disk, so that a restart does not begin to count anew. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegionId, Runtime } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { parseJson } from '../bus/core/messages.ts';
import { type LagMemory, lagMemorySchema, noLagMemory, rememberLags } from './core/lag-memory.ts';
import type { Receiving } from './receiving.ts';
import type { Shipping } from './shipping.ts';

/** Where the lag of the secondaries is remembered. */
export interface LagKeeper {
  readonly memory: LagMemory;
  /** Takes in what is known now and keeps it in the background. */
  note(lags: Parameters<typeof rememberLags>[1], nowUs: number): void;
  /** Forgets all others: what was known of them came from a role that this region has not any more. */
  keepOnly(regions: readonly RegionId[]): void;
}

/** Notes what a region knows now: of its secondaries where it ships, of itself where it receives. */
export function noteLags(
  {
    region,
    lags,
    runtime,
  }: { readonly region: RegionId; readonly lags: LagKeeper; readonly runtime: Runtime },
  shipping: Pick<Shipping, 'lag'> | undefined,
  receiving: Pick<Receiving, 'levelMsAgo' | 'position'> | null,
): void {
  if (shipping !== undefined) lags.note(shipping.lag(), runtime.wallUs());
  if (receiving === null) return;
  const { levelMsAgo: lagMs, position } = receiving;
  lags.note([{ region, lagMs, vdl: position.vdl }], runtime.wallUs());
}

export class LagStore implements LagKeeper {
  private readonly path: string;
  private readonly log: Logger;
  private memoryNow: LagMemory;
  private saved: string;
  private saving = false;

  private constructor(path: string, memory: LagMemory, log: Logger) {
    this.path = path;
    this.memoryNow = memory;
    this.saved = JSON.stringify(memory);
    this.log = log;
  }

  /** Reads what an earlier agent left; a file that is missing or damaged says nothing. */
  static async open(dataDir: string, log: Logger): Promise<LagStore> {
    const path = join(dataDir, 'lag.json');
    const text = await readFile(path, 'utf8').catch(() => null);
    const parsed = text === null ? null : parseJson(lagMemorySchema, text);
    if (parsed?.kind === 'malformed')
      log.warn({ file: path, reason: parsed.reason }, 'the remembered lag cannot be read');
    return new LagStore(path, parsed?.kind === 'ok' ? parsed.value : noLagMemory, log);
  }

  get memory(): LagMemory {
    return this.memoryNow;
  }

  note(lags: Parameters<typeof rememberLags>[1], nowUs: number): void {
    this.memoryNow = rememberLags(this.memoryNow, lags, nowUs);
    this.save();
  }

  keepOnly(regions: readonly RegionId[]): void {
    const kept = Object.entries(this.memoryNow).filter(([name]) => regions.some((region) => region === name));
    this.memoryNow = Object.fromEntries(kept);
    this.save();
  }

  /** Writes behind the caller's back, one write at a time. */
  private save(): void {
    const text = JSON.stringify(this.memoryNow);
    if (this.saving || text === this.saved) return;
    this.saving = true;
    this.saved = text;
    // Not flushed: what is lost with the machine is a second of it, and only shown.
    writeFile(`${this.path}.new`, `${text}\n`)
      .then(() => rename(`${this.path}.new`, this.path))
      .catch((err: unknown) => this.log.warn({ err, file: this.path }, 'the lag cannot be remembered'))
      .finally(() => {
        this.saving = false;
        // What was noted meanwhile; a write that failed is not tried again before something has changed.
        this.save();
      });
  }
}
