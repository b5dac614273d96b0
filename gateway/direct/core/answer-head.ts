/** The head of an answer as Node's HTTP server writes it, so that no client can tell who read its request (G120). Pure. */

/** Names with their values, in their order. */
export type AnswerFields = Readonly<Record<string, string | number>>;

export interface AnswerHead {
  readonly status: number;
  /** What the status means, such as `OK`. */
  readonly reason: string;
  /** `connection: close` is said here, where the connection ends with the answer. */
  readonly fields: AnswerFields;
  /** As `Date` says it. */
  readonly date: string;
  /** How long the connection is kept for a further request, in whole seconds. */
  readonly keepAliveSeconds: number;
}

/** Everything of an answer before its body. */
export function answerHead({ status, reason, fields, date, keepAliveSeconds }: AnswerHead): string {
  let text = `HTTP/1.1 ${status} ${reason}\r\n`;
  for (const name of Object.keys(fields)) text += `${name}: ${fields[name]}\r\n`;
  text += `Date: ${date}\r\n`;
  return fields.connection === undefined
    ? `${text}Connection: keep-alive\r\nKeep-Alive: timeout=${keepAliveSeconds}\r\n\r\n`
    : `${text}\r\n`;
}
