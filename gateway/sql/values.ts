/** Integers and bytes as text, exact in both directions. Pure. */

const minimum = -(2n ** 63n);
const maximum = 2n ** 63n - 1n;
const integerPattern = /^-?[0-9]{1,64}$/;
const base64Pattern = /^[A-Za-z0-9+/]*={0,2}$/;

/** The 64-bit integer written in decimal, or null. */
export function decodeInteger(text: string): bigint | null {
  if (!integerPattern.test(text)) return null;
  const value = BigInt(text);
  return value < minimum || value > maximum ? null : value;
}

/**
 * The bytes of a base64 text, padded or not, or null when it is not base64. The array owns its memory: a view
 * into a shared pool would drag the whole pool along when it is posted to another thread.
 */
export function decodeBase64(text: string): Uint8Array | null {
  if (!base64Pattern.test(text)) return null;
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const digits = text.length - padding;
  if (digits % 4 === 1 || (padding > 0 && text.length % 4 !== 0)) return null;
  const bytes = new Uint8Array(Math.floor((digits * 3) / 4));
  bytes.set(Buffer.from(text, 'base64'));
  return bytes;
}

/** Base64 without padding. */
export function encodeBase64(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
  return text.endsWith('==') ? text.slice(0, -2) : text.endsWith('=') ? text.slice(0, -1) : text;
}
