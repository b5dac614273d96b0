/** What a client of the load was told, where no gateway has said it. */

/** What went wrong between the client and the gateway, as the network says it; null when it was something else. */
export function networkCode(error: unknown): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (/ECONNREFUSED/.test(cause.message)) return 'ECONNREFUSED';
    if ('code' in cause && typeof cause.code === 'string' && cause.code !== 'HRANA_WEBSOCKET_ERROR')
      return cause.code;
  }
  return null;
}

/** For errors that have no code. */
export const wordsOf = (error: unknown): string =>
  error instanceof Error ? error.message.slice(0, 80) : 'UNKNOWN';
