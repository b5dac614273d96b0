/** Sessions without an engine, for what concerns sockets only: each operation is answered by a function. */

import {
  commandComplete,
  errorResponse,
  readyForQuery,
} from '../../../gateway/postgres/protocol/core/server-messages.ts';
import type { WireService, WireSession } from '../../../gateway/postgres/wire-service.ts';
import type { SessionOptions, SqlOutcome, SqlRequestContext } from '../../../gateway/sql/sql.ts';
import type { WireOperation, WireResult } from '../../../gateway/sql/wire-operation.ts';
import { concatBytes } from '../../../storage/redo.ts';

export const answered = (...messages: readonly Uint8Array[]): WireResult => ({
  messages: concatBytes([...messages, readyForQuery('I')]),
  status: 'I',
  settings: null,
  error: null,
});

export type Answer = (operation: WireOperation) => Promise<WireResult>;

export class QuickService implements WireService {
  readonly options: (SessionOptions | undefined)[] = [];
  readonly operations: WireOperation[] = [];
  readonly contexts: SqlRequestContext[] = [];
  open = 0;
  readonly answer: Answer;

  constructor(answer: Answer = async ({ statements }) => answered(commandComplete(statements[0] ?? ''))) {
    this.answer = answer;
  }

  openSession(options?: SessionOptions): SqlOutcome<WireSession> {
    this.options.push(options);
    this.open += 1;
    return { ok: true, value: new QuickSession(this) };
  }
}

class QuickSession implements WireSession {
  readonly #service: QuickService;
  #cancel: ((result: WireResult) => void) | null = null;

  constructor(service: QuickService) {
    this.#service = service;
  }

  run(
    operation: WireOperation,
    context: SqlRequestContext,
    done: (outcome: SqlOutcome<unknown>) => void,
  ): void {
    this.#service.operations.push(operation);
    this.#service.contexts.push(context);
    const stopped = new Promise<WireResult>((resolve) => {
      this.#cancel = resolve;
    });
    void Promise.race([this.#service.answer(operation), stopped]).then((value) => {
      this.#cancel = null;
      done({ ok: true, value });
    });
  }

  isAutocommit(): boolean {
    return true;
  }

  cancel(): void {
    this.#cancel?.(
      answered(errorResponse('ERROR', { code: '57014', message: 'canceling statement due to user request' })),
    );
  }

  async close(): Promise<void> {
    this.#service.open -= 1;
  }
}
