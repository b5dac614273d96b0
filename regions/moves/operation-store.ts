/** The operations of one agent on disk, so that `GET /v1/operations/{id}` answers after a restart and a move goes on. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Logger } from '../../telemetry/index.ts';
import { parseJson } from '../bus/core/messages.ts';
import { type KeptOperation, keptOperationSchema } from './core/operation-log.ts';

const fileSchema = z.object({ v: z.literal(1), operations: z.array(keptOperationSchema) });

/** Where operations are kept. */
export interface OperationKeeper {
  /** As they were when the agent started, the oldest first. */
  readonly kept: readonly KeptOperation[];
  /** Keeps these in their place, in the background. */
  keep(operations: readonly KeptOperation[]): void;
}

export class OperationStore implements OperationKeeper {
  readonly kept: readonly KeptOperation[];
  private readonly path: string;
  private readonly log: Logger;
  private wanted: readonly KeptOperation[] | null = null;
  private writing = false;

  private constructor(path: string, kept: readonly KeptOperation[], log: Logger) {
    this.path = path;
    this.kept = kept;
    this.log = log;
  }

  /** Reads what an earlier agent left; a file that is damaged is told, and costs the history and no more. */
  static async open(dataDir: string, log: Logger): Promise<OperationStore> {
    const path = join(dataDir, 'operations.json');
    const text = await readFile(path, 'utf8').catch(() => null);
    const parsed = text === null ? null : parseJson(fileSchema, text);
    if (parsed?.kind === 'malformed')
      log.error({ file: path, reason: parsed.reason }, 'the operations on disk cannot be read');
    return new OperationStore(path, parsed?.kind === 'ok' ? parsed.value.operations : [], log);
  }

  keep(operations: readonly KeptOperation[]): void {
    this.wanted = operations;
    if (!this.writing) void this.write();
  }

  private async write(): Promise<void> {
    this.writing = true;
    while (this.wanted !== null) {
      const text = JSON.stringify({ v: 1, operations: this.wanted });
      this.wanted = null;
      try {
        await writeFile(`${this.path}.new`, `${text}\n`, { flush: true, mode: 0o600 });
        await rename(`${this.path}.new`, this.path);
      } catch (err) {
        this.log.warn({ err, file: this.path }, 'the operations cannot be kept');
      }
    }
    this.writing = false;
  }
}
