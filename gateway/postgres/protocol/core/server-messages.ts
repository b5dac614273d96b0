/** Messages that the front end makes itself. Everything else is the engine's own and passes as it is. Pure. */
import { type Field, message } from './message-bytes.ts';

/** An error or a notice as PostgreSQL's messages tell it. */
export interface Report {
  /** SQLSTATE, five characters. */
  readonly code: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
}

/** After an ERROR the connection goes on, after FATAL it is closed. */
export type Severity = 'ERROR' | 'FATAL';

/** Ready for the next query: idle, in a transaction, in a failed one. */
export type ReadyStatus = 'I' | 'T' | 'E';

export const errorResponse = (severity: Severity, report: Report): Uint8Array => told('E', severity, report);
/** What goes on and is worth a word. */
export const noticeResponse = (severity: 'WARNING', report: Report): Uint8Array =>
  told('N', severity, report);

function told(type: 'E' | 'N', severity: string, { code, message: text, detail, hint }: Report): Uint8Array {
  const fields: Field[] = [];
  const field = (type: string, value: string | undefined): void => {
    if (value !== undefined) fields.push({ byte: type.charCodeAt(0) }, { text: value });
  };
  field('S', severity);
  field('V', severity);
  field('C', code);
  field('M', text);
  field('D', detail);
  field('H', hint);
  return message(type, ...fields, { byte: 0 });
}

export const readyForQuery = (status: ReadyStatus): Uint8Array =>
  message('Z', { byte: status.charCodeAt(0) });
export const commandComplete = (tag: string): Uint8Array => message('C', { text: tag });
export const parameterStatus = (name: string, value: string): Uint8Array =>
  message('S', { text: name }, { text: value });
export const backendKeyData = (processId: number, secret: Uint8Array): Uint8Array =>
  message('K', { int32: processId }, { bytes: secret });

export const parseComplete = message('1');
export const bindComplete = message('2');
export const closeComplete = message('3');
export const noData = message('n');
/** Of a statement without parameters. */
export const noParameters = message('t', { int16: 0 });

export const authenticationOk = message('R', { int32: 0 });
export const authenticationSasl = (mechanisms: readonly string[]): Uint8Array =>
  message('R', { int32: 10 }, ...mechanisms.map((text) => ({ text })), { byte: 0 });
export const authenticationSaslContinue = (data: string): Uint8Array =>
  message('R', { int32: 11 }, { bytes: new TextEncoder().encode(data) });
export const authenticationSaslFinal = (data: string): Uint8Array =>
  message('R', { int32: 12 }, { bytes: new TextEncoder().encode(data) });

/** What a COPY … FROM STDIN waits for. @param columns 0 where the statement does not say how many. */
export function copyInResponse(binary: boolean, columns: number): Uint8Array {
  const format = binary ? 1 : 0;
  const formats = Array.from({ length: columns }, () => ({ int16: format }));
  return message('G', { byte: format }, { int16: columns }, ...formats);
}
