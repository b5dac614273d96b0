/**
 * Prepared statements that the backend has. Names are made from content, so every session may use every one of them, and one that
 * has gone is parsed again, silently, with the operation that uses it: nobody can lose a statement to another.
 */
import { concatBytes } from '../../../../../storage/redo.ts';
import { closeStatement, syncMessage } from '../../../../postgres/protocol/core/client-messages.ts';
import type { WirePrepared } from '../../../../sql/wire-operation.ts';
import { messagesOf, stringOf } from './wire-messages.ts';

/** An answer that is to come, and what it means. */
interface Expected {
  readonly reply: '1' | '3' | 'Z';
  /** The client did not ask for it. */
  readonly hidden: boolean;
  readonly parsed: string | null;
  readonly closed: string | null;
}

/** Messages as they are sent to the backend, and what of the answer is for the client. */
export interface PlannedMessages {
  readonly messages: Uint8Array;
  /** To be called with the answer. @returns what the client gets of it. */
  settle(answer: Uint8Array): Uint8Array;
}

export class StatementCache {
  /** The one used longest ago first. */
  private readonly names = new Set<string>();
  private readonly max: number;

  /** @param max statements that are kept */
  constructor(max: number) {
    this.max = max;
  }

  get size(): number {
    return this.names.size;
  }

  has(name: string): boolean {
    return this.names.has(name);
  }

  /** They have all gone. */
  clear(): void {
    this.names.clear();
  }

  /** What is beyond the bound, as messages that the backend closes it by; null when nothing is. No longer taken to be there. */
  excess(): Uint8Array | null {
    const closes: Uint8Array[] = [];
    for (const name of this.names) {
      if (this.names.size <= this.max) break;
      this.names.delete(name);
      closes.push(closeStatement(name));
    }
    return closes.length === 0 ? null : concatBytes(closes);
  }

  /** What to send for an operation. @param prepared what its messages use and do not parse. */
  plan(messages: Uint8Array, prepared: readonly WirePrepared[]): PlannedMessages {
    const before: Uint8Array[] = [];
    const expected: Expected[] = [];
    // A pipeline may parse one content several times before its Sync, once for each name that the client gives it.
    const parsed = new Set<string>();
    for (const { name, parse, fresh } of prepared) {
      if (!fresh && this.touch(name)) continue;
      if (this.names.has(name)) {
        before.push(closeStatement(name));
        expected.push({ reply: '3', hidden: true, parsed: null, closed: name });
      }
      before.push(parse);
      parsed.add(name);
      expected.push({ reply: '1', hidden: true, parsed: name, closed: null });
    }
    // An error in them must not have the query skipped, as what follows in a batch is.
    const isQuery = messages[0] === queryType && expected.length > 0;
    if (isQuery) {
      before.push(syncMessage);
      expected.push({ reply: 'Z', hidden: true, parsed: null, closed: null });
    }
    let named = false;
    for (const { type, body, whole } of messagesOf(messages)) {
      if (type === 'P') {
        const name = stringOf(body);
        if (name !== '') named = true;
        if (name !== '' && (this.names.has(name) || parsed.has(name))) {
          before.push(closeStatement(name));
          expected.push({ reply: '3', hidden: true, parsed: null, closed: name });
        }
        parsed.add(name);
        expected.push({ reply: '1', hidden: false, parsed: name === '' ? null : name, closed: null });
      } else if (type === 'C') {
        const closed = body[0] === statementKind ? stringOf(body, 1) : null;
        named ||= closed !== null;
        expected.push({ reply: '3', hidden: false, parsed: null, closed });
      } else if (type === 'S' || type === 'Q') {
        expected.push({ reply: 'Z', hidden: false, parsed: null, closed: null });
      }
      before.push(whole);
    }
    if (!named && !expected.some(({ hidden }) => hidden)) return { messages, settle: (answer) => answer };
    return { messages: concatBytes(before), settle: (answer) => this.settle(expected, answer) };
  }

  /** Whether it is there; if so, it is the one used last. */
  private touch(name: string): boolean {
    if (!this.names.delete(name)) return false;
    this.names.add(name);
    return true;
  }

  private settle(expected: readonly Expected[], answer: Uint8Array): Uint8Array {
    const shown: Uint8Array[] = [];
    let at = 0;
    let failed = false;
    for (const { type, whole } of messagesOf(answer)) {
      if (type === 'E') {
        // A query whose statement could not be parsed fails for that once more.
        if (failed) continue;
        failed =
          expected[at]?.hidden === true && expected.some(({ reply, hidden }) => reply === 'Z' && hidden);
        // What follows an error in its batch is not answered, up to the Sync.
        while (at < expected.length && expected[at]?.reply !== 'Z') at++;
      }
      const next = expected[at];
      if (next === undefined || next.reply !== type) {
        shown.push(whole);
        continue;
      }
      at++;
      if (next.closed !== null) this.names.delete(next.closed);
      if (next.parsed !== null) {
        this.names.delete(next.parsed);
        this.names.add(next.parsed);
      }
      if (!next.hidden) shown.push(whole);
    }
    return concatBytes(shown);
  }
}

const statementKind = 'S'.charCodeAt(0);
const queryType = 'Q'.charCodeAt(0);
