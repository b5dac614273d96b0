/** How a connection begins: what is asked for before any message that has a type. Pure. */
import { BodyReader, type Field, MalformedMessage, message } from './message-bytes.ts';

export type StartupPacket =
  | { readonly kind: 'tls' }
  | { readonly kind: 'gss' }
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Uint8Array }
  | {
      readonly kind: 'startup';
      /** Minor version of protocol 3 that the client asks for. */
      readonly minor: number;
      readonly parameters: ReadonlyMap<string, string>;
    }
  | { readonly kind: 'malformed'; readonly reason: string };

/** Newest minor version of protocol 3 that is spoken here. */
export const newestMinor = 2;
/** From this minor version on a client takes secrets of other lengths than four bytes. */
export const longSecretMinor = 2;

const codes = { tls: 80_877_103, gss: 80_877_104, cancel: 80_877_102 } as const;
/** As `BackendKeyData` of PostgreSQL allows. */
const secretBytesMax = 256;

/** @param body what follows the length of the packet. */
export function readStartup(body: Uint8Array): StartupPacket {
  try {
    return read(new BodyReader(body));
  } catch (error) {
    if (error instanceof MalformedMessage) return { kind: 'malformed', reason: error.message };
    throw error;
  }
}

function read(from: BodyReader): StartupPacket {
  const code = from.int32();
  if (code === codes.tls) return { kind: 'tls' };
  if (code === codes.gss) return { kind: 'gss' };
  if (code === codes.cancel) {
    const processId = from.int32();
    const secret = from.rest();
    return secret.length === 0 || secret.length > secretBytesMax
      ? { kind: 'malformed', reason: 'a cancel request with a secret of an impossible length' }
      : { kind: 'cancel', processId, secret };
  }
  const major = code >> 16;
  if (major !== 3)
    return {
      kind: 'malformed',
      reason: `protocol version ${major}.${code & 0xffff} is not spoken, only 3.0 to 3.2`,
    };
  const parameters = new Map<string, string>();
  while (from.remaining > 1) {
    const name = from.text();
    if (name === '') return { kind: 'malformed', reason: 'a parameter without a name' };
    parameters.set(name, from.text());
  }
  if (from.byte() !== 0) return { kind: 'malformed', reason: 'the parameters have no end' };
  return { kind: 'startup', minor: code & 0xffff, parameters };
}

/** Parameters of the protocol that a client asks for and that are not known here. */
export const unknownOptions = (parameters: ReadonlyMap<string, string>): readonly string[] =>
  [...parameters.keys()].filter((name) => name.startsWith('_pq_.'));

/** Tells what is spoken here; null when the client gets what it asked for. */
export function negotiation(minor: number, options: readonly string[]): Uint8Array | null {
  if (minor <= newestMinor && options.length === 0) return null;
  const names: readonly Field[] = options.map((text) => ({ text }));
  const version = (3 << 16) | Math.min(minor, newestMinor);
  return message('v', { int32: version }, { int32: options.length }, ...names);
}

/** Parameters that are not settings of the session. */
const reserved: ReadonlySet<string> = new Set(['user', 'database', 'options', 'replication']);

export type StartupSettings =
  | { readonly kind: 'settings'; readonly settings: Readonly<Record<string, string>> }
  | { readonly kind: 'malformed'; readonly reason: string };

/** Settings that a client begins with: parameters of the packet, and `-c name=value` and `--name=value` in `options`. */
export function startupSettings(parameters: ReadonlyMap<string, string>): StartupSettings {
  const settings: Record<string, string> = {};
  const words = optionWords(parameters.get('options') ?? '');
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    const text = word === '-c' ? (words[++at] ?? '') : /^(?:-c|--)(.*)$/s.exec(word)?.[1];
    const equals = text?.indexOf('=') ?? -1;
    if (text === undefined || equals < 1)
      return {
        kind: 'malformed',
        reason: `options: ${JSON.stringify(word)} is not -c name=value or --name=value`,
      };
    settings[text.slice(0, equals).replaceAll('-', '_').toLowerCase()] = text.slice(equals + 1);
  }
  for (const [name, value] of parameters)
    if (!reserved.has(name) && !name.startsWith('_pq_.')) settings[name.toLowerCase()] = value;
  return { kind: 'settings', settings };
}

/** Words are separated by blanks; a backslash takes the next character as it is. */
function optionWords(text: string): readonly string[] {
  return [...text.matchAll(/(?:\\[\s\S]|[^\s\\])+/g)].map(([word]) => word.replace(/\\([\s\S])/g, '$1'));
}
