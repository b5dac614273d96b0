/** Loss reports on disk, one file per lost reign, so that they outlive the agent that found them. */
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../telemetry/index.ts';
import { type LossReport, lossReportSchema } from '../core/loss-report.ts';
import { parseJson } from '../core/messages.ts';

export class LossStore {
  private readonly dir: string;
  private readonly reports = new Map<number, LossReport>();

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async open(dataDir: string, log: Logger): Promise<LossStore> {
    const store = new LossStore(join(dataDir, 'losses'));
    await mkdir(store.dir, { recursive: true });
    for (const name of await readdir(store.dir)) {
      if (!name.endsWith('.json')) continue;
      const parsed = parseJson(lossReportSchema, await readFile(join(store.dir, name), 'utf8'));
      if (parsed.kind === 'ok') store.reports.set(parsed.value.orphanEpoch, parsed.value);
      else log.error({ file: name, reason: parsed.reason }, 'a loss report on disk cannot be read');
    }
    return store;
  }

  get epochs(): readonly number[] {
    return [...this.reports.keys()].sort((a, b) => a - b);
  }

  get all(): readonly LossReport[] {
    return [...this.reports.values()];
  }

  /** Whether this orphan is reported already. */
  has(orphanEpoch: number): boolean {
    return this.reports.has(orphanEpoch);
  }

  async save(report: LossReport): Promise<void> {
    const path = join(this.dir, `${report.orphanEpoch}.json`);
    await writeFile(`${path}.new`, `${JSON.stringify(report)}\n`, { flush: true });
    await rename(`${path}.new`, path);
    this.reports.set(report.orphanEpoch, report);
  }
}
