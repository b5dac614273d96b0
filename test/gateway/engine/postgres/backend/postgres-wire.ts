/** Messages of a client, and answers as short texts, for tests of the PostgreSQL engine. */
import {
  fieldsOf,
  messagesOf,
  rowOf,
  stringOf,
} from '../../../../../gateway/engine/postgres/backend/core/wire-messages.ts';
import { type Field, message } from '../../../../../gateway/postgres/protocol/core/message-bytes.ts';

export const parse = (name: string, sql: string): Uint8Array =>
  message('P', { text: name }, { text: sql }, { int16: 0 });
export const bind = (name: string, ...values: readonly (string | number)[]): Uint8Array =>
  message(
    'B',
    { text: '' },
    { text: name },
    { int16: 0 },
    { int16: values.length },
    ...values.flatMap((value): Field[] => [
      { int32: Buffer.byteLength(String(value)) },
      { bytes: Buffer.from(String(value)) },
    ]),
    { int16: 0 },
  );
export const execute = (): Uint8Array => message('E', { text: '' }, { int32: 0 });
export const flush: Uint8Array = message('H');

/** Types of the messages, with what matters of each in brackets: rows, tags, SQLSTATEs, status. */
export function shown(answer: Uint8Array): string {
  const one = (type: string, body: Uint8Array): string => {
    switch (type) {
      case 'D':
        return `[${rowOf(body).join(',')}]`;
      case 'C':
        return `[${stringOf(body)}]`;
      case 'E':
      case 'N':
        return `[${fieldsOf(body).get('C')}]`;
      case 'Z':
        return `[${Buffer.from(body).toString()}]`;
      default:
        return '';
    }
  };
  return [...messagesOf(answer)].map(({ type, body }) => type + one(type, body)).join(' ');
}
