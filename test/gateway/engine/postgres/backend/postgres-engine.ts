/** A PostgreSQL engine on a volume in memory, and clients of it, for tests. */
import assert from 'node:assert/strict';
import type { EngineAnswer } from '../../../../../gateway/engine/core/engine-protocol.ts';
import type { EngineSession } from '../../../../../gateway/engine/engine-stream.ts';
import { queryMessage } from '../../../../../gateway/postgres/protocol/core/client-messages.ts';
import type { AnyOperationValue } from '../../../../../gateway/sql/operation.ts';
import { freshStream } from '../../../../../gateway/sql/stream-state.ts';
import type {
  WireOperation,
  WireResult,
  WireSettings,
  WireStatus,
} from '../../../../../gateway/sql/wire-operation.ts';
import { shown } from './postgres-wire.ts';

export const postgres = { kind: 'postgres' } as const;

/** One client: its settings go along with what it asks, as a front end sees to it. */
export class Client {
  readonly session: EngineSession;
  settings: WireSettings = {};
  status: WireStatus = 'I';
  last: EngineAnswer<AnyOperationValue> | null = null;

  constructor(session: EngineSession) {
    this.session = session;
  }

  ask(operation: Partial<WireOperation>): Promise<EngineAnswer<AnyOperationValue>> {
    const whole: WireOperation = {
      kind: 'wire',
      messages: new Uint8Array(0),
      prepared: [],
      statements: [],
      class: 'write',
      settings: this.settings,
      ...operation,
    };
    return new Promise((resolve) =>
      this.session.run(whole, null, freshStream, (answer) => {
        this.last = answer;
        if (answer.outcome.ok) {
          const value = answer.outcome.value as WireResult;
          this.settings = value.settings ?? this.settings;
          this.status = value.status;
        }
        resolve(answer);
      }),
    );
  }

  /** Runs a simple query. @returns its answer as `shown`, or the code of the failure in round brackets. */
  async sql(text: string, more: Partial<WireOperation> = {}): Promise<string> {
    return told(await this.ask({ messages: queryMessage(text), statements: text.split(/;\s*/), ...more }));
  }

  async send(messages: readonly Uint8Array[], more: Partial<WireOperation> = {}): Promise<string> {
    return told(await this.ask({ messages: Buffer.concat(messages), ...more }));
  }
}

export function told({ outcome }: EngineAnswer<AnyOperationValue>): string {
  if (!outcome.ok) return `(${outcome.error.code})`;
  assert(outcome.value !== null && 'messages' in outcome.value, 'a wire operation is answered with messages');
  return shown(outcome.value.messages);
}
