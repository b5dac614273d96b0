/** What a gateway checks the password of a PostgreSQL client with, as text. Nobody can log in with it. Pure. */

/** The keys of one password (RFC 5802). */
export interface Verifier {
  readonly iterations: number;
  readonly salt: Uint8Array;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

const scheme = 'SCRAM-SHA-256';
const keyBytes = 32;
/** More would let a stranger have the gateway compute for long; PostgreSQL's default is 4096. */
const iterationsMax = 10_000_000;

const bytesOf = (base64: string): Uint8Array | null => {
  const bytes = Buffer.from(base64, 'base64');
  return bytes.toString('base64') === base64 ? bytes : null;
};
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/** Reads PostgreSQL's form, `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`; null when it is not one. */
export function readVerifier(text: string): Verifier | null {
  const [, count = '', salt64 = '', stored64 = '', server64 = ''] =
    /^SCRAM-SHA-256\$([1-9][0-9]{0,7}):([^$:]+)\$([^$:]+):([^$:]+)$/.exec(text) ?? [];
  const iterations = Number(count);
  const salt = bytesOf(salt64);
  const storedKey = bytesOf(stored64);
  const serverKey = bytesOf(server64);
  if (iterations < 1 || iterations > iterationsMax || salt === null || salt.length === 0) return null;
  if (storedKey?.length !== keyBytes || serverKey?.length !== keyBytes) return null;
  return { iterations, salt, storedKey, serverKey };
}

export const writeVerifier = ({ iterations, salt, storedKey, serverKey }: Verifier): string =>
  `${scheme}$${iterations}:${base64(salt)}$${base64(storedKey)}:${base64(serverKey)}`;
