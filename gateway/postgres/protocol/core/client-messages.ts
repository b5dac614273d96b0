/** Messages of a client that the front end reads, and those that it writes for the engine in their place. Pure. */
import { BodyReader, MalformedMessage, message } from './message-bytes.ts';

export interface ParseMessage {
  readonly name: string;
  readonly sql: string;
  /** The text as it came, with its zero byte, and the types of the parameters. */
  readonly content: Uint8Array;
  /** Number and OIDs of the parameters' types, as they came. */
  readonly types: Uint8Array;
}

export interface BindMessage {
  readonly portal: string;
  readonly statement: string;
  /** Formats and values, as they came. */
  readonly rest: Uint8Array;
}

/** Of a Describe or a Close. */
export interface NamedMessage {
  readonly target: 'statement' | 'portal';
  readonly name: string;
}

function end(from: BodyReader): void {
  if (from.remaining > 0) throw new MalformedMessage('the message goes on behind its last field');
}

/** Each throws MalformedMessage when the body is not one of its kind. */
export function readQuery(body: Uint8Array): string {
  const from = new BodyReader(body);
  const sql = from.text();
  end(from);
  return sql;
}

export function readParse(body: Uint8Array): ParseMessage {
  const from = new BodyReader(body);
  const name = from.text();
  const content = body.subarray(body.length - from.remaining);
  const sql = from.text();
  const types = body.subarray(body.length - from.remaining);
  from.bytes(4 * from.int16());
  end(from);
  return { name, sql, content, types };
}

export function readBind(body: Uint8Array): BindMessage {
  const from = new BodyReader(body);
  return { portal: from.text(), statement: from.text(), rest: from.rest() };
}

/** Name of the portal. */
export function readExecute(body: Uint8Array): string {
  const from = new BodyReader(body);
  const portal = from.text();
  from.int32();
  end(from);
  return portal;
}

export function readNamed(body: Uint8Array): NamedMessage {
  const from = new BodyReader(body);
  const type = String.fromCharCode(from.byte());
  if (type !== 'S' && type !== 'P') throw new MalformedMessage('neither a statement nor a portal');
  const name = from.text();
  end(from);
  return { target: type === 'S' ? 'statement' : 'portal', name };
}

export const queryMessage = (sql: string): Uint8Array => message('Q', { text: sql });
export const parseMessage = (name: string, content: Uint8Array): Uint8Array =>
  message('P', { text: name }, { bytes: content });
export const bindMessage = (portal: string, statement: string, rest: Uint8Array): Uint8Array =>
  message('B', { text: portal }, { text: statement }, { bytes: rest });
export const describeStatement = (name: string): Uint8Array =>
  message('D', { byte: 'S'.charCodeAt(0) }, { text: name });
export const closeStatement = (name: string): Uint8Array =>
  message('C', { byte: 'S'.charCodeAt(0) }, { text: name });
export const syncMessage = message('S');

/** What stands behind the name in a Parse message. */
export function parseContent(sql: string, types: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(`${sql}\0`);
  const content = new Uint8Array(text.length + types.length);
  content.set(text);
  content.set(types, text.length);
  return content;
}
