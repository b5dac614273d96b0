/** Makes of a password what gateways check it with. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { writeVerifier } from './core/verifier.ts';

/** As PostgreSQL does by default. */
export const verifierIterations = 4_096;
export const saltBytes = 16;
const keyBytes = 32;

const hmac = (key: Uint8Array, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** Blanks that are no ASCII become one, and what stands for nothing goes, as clients do before they use a password (RFC 4013). */
function prepared(password: string): string {
  const spaces = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g;
  const unseen = /\u00ad|\u034f|\u1806|[\u180b-\u180d]|[\u200c\u200d]|\u2060|[\ufe00-\ufe0f]|\ufeff/g;
  return password.replace(spaces, ' ').replace(unseen, '').normalize('NFKC');
}

/**
 * What a gateway checks a password with, in PostgreSQL's form: `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`, with which nobody can
 * log in. @param salt 16 random bytes where left out
 */
export function makeVerifier(
  password: string,
  salt: Uint8Array = randomBytes(saltBytes),
  iterations = verifierIterations,
): string {
  const salted = pbkdf2Sync(prepared(password), salt, iterations, keyBytes, 'sha256');
  const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest();
  return writeVerifier({ iterations, salt, storedKey, serverKey: hmac(salted, 'Server Key') });
}
