/** Loss reports on disk, one file per lost reign and the reign under which it was found, so that they outlive the agent that found them. */
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../telemetry/index.ts';
import { parseJson } from '../bus/core/messages.ts';
import { type LossReport, lossReportSchema } from './core/loss-report.ts';

/** Where loss reports are kept. */
export interface LossKeeper {
  readonly epochs: readonly number[];
  readonly all: readonly LossReport[];
  /** Where the reported orphan of a reign begins; null when none is. A later failover may leave behind more below it. */
  reportedFrom(orphanEpoch: number): number | null;
  /** Resolves when it is kept for good. */
  save(report: LossReport): Promise<void>;
}

export class LossStore implements LossKeeper {
  private readonly dir: string;
  private readonly reports = new Map<string, LossReport>();

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async open(dataDir: string, log: Logger): Promise<LossStore> {
    const store = new LossStore(join(dataDir, 'losses'));
    await mkdir(store.dir, { recursive: true, mode: 0o700 });
    for (const name of await readdir(store.dir)) {
      if (!name.endsWith('.json')) continue;
      const parsed = parseJson(lossReportSchema, await readFile(join(store.dir, name), 'utf8'));
      if (parsed.kind === 'ok') store.reports.set(name, parsed.value);
      else log.error({ file: name, reason: parsed.reason }, 'a loss report on disk cannot be read');
    }
    return store;
  }

  get epochs(): readonly number[] {
    return [...new Set(this.all.map((report) => report.orphanEpoch))].sort((a, b) => a - b);
  }

  get all(): readonly LossReport[] {
    return [...this.reports.values()];
  }

  reportedFrom(orphanEpoch: number): number | null {
    const starts = this.all
      .filter((report) => report.orphanEpoch === orphanEpoch)
      .map((report) => report.fromLsn);
    return starts.length === 0 ? null : Math.min(...starts);
  }

  async save(report: LossReport): Promise<void> {
    const name = `${report.orphanEpoch}-${report.epoch}.json`;
    const path = join(this.dir, name);
    await writeFile(`${path}.new`, `${JSON.stringify(report)}\n`, { flush: true, mode: 0o600 });
    await rename(`${path}.new`, path);
    this.reports.set(name, report);
  }
}
