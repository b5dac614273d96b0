/** How every HTTP endpoint of the gateway writes an error down. Pure. */
import type { SqlError } from './sql.ts';

/** The body of a failed HTTP request: `error` repeats the message for clients that read only that. */
export function encodeErrorBody(error: SqlError): string {
  const message = JSON.stringify(error.message);
  return `{"message":${message},"code":${JSON.stringify(error.code)},"error":${message}}`;
}
