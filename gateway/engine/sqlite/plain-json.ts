/** Which bytes are a JSON string as they are, so that nobody has to make a string of them. Pure. */
import { isUtf8 } from 'node:buffer';

const lows = 0x01010101;
const highs = 0x80808080 | 0;

/** Not zero where one of four bytes is zero. Bytes above the lowest one that is may be wrong, which does not matter here. */
const someZero = (word: number): number => (word - lows) & ~word & highs;

/** Whether one of four bytes is a quote, a backslash or a control character. */
function someEscaped(word: number): boolean {
  const control = (word - 0x20202020) & ~word & highs;
  return (control | someZero(word ^ 0x22222222) | someZero(word ^ 0x5c5c5c5c)) !== 0;
}

/** Whether the bytes are valid UTF-8 without a character that JSON escapes in a string. */
export function isPlainJson(bytes: Uint8Array): boolean {
  const { buffer, byteOffset, length } = bytes;
  // Words are where their address is a multiple of four; around them it goes byte by byte.
  const from = Math.min(length, (4 - (byteOffset & 3)) & 3);
  const count = (length - from) >> 2;
  const to = from + 4 * count;
  if (count > 0) {
    const words = new Int32Array(buffer, byteOffset + from, count);
    for (let at = 0; at < count; at++) if (someEscaped(words[at] ?? 0)) return false;
  }
  for (let at = 0; at < from; at++) if (isEscaped(bytes[at] ?? 0)) return false;
  for (let at = to; at < length; at++) if (isEscaped(bytes[at] ?? 0)) return false;
  return isUtf8(bytes);
}

const isEscaped = (byte: number): boolean => byte < 0x20 || byte === 0x22 || byte === 0x5c;
