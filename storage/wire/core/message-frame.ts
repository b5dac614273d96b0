/** A message of a link as one WebSocket frame (RFC 6455, section 5.2), so that it can be written in one piece. */

/** A whole message that is binary: the only kind a link carries. */
const wholeBinary = 0x82;
const maskedBit = 0x80;
/** Lengths from here on take two bytes more. */
const longLengthMin = 126;
const maskBytes = 4;

/** Messages one byte longer need another form of header. */
export const frameMessageBytesMax = 0xffff;

/**
 * The header and a copy of `message`. Who opened the link has to mask what it sends, and masks with zeros, which change no byte:
 * masks guard proxies against scripts in browsers, and there are none here.
 * @param message at most `frameMessageBytesMax` bytes.
 */
export function messageFrame(message: Uint8Array, isMasked: boolean): Uint8Array {
  const { length } = message;
  const isLong = length >= longLengthMin;
  const headerBytes = (isLong ? 4 : 2) + (isMasked ? maskBytes : 0);
  // Out of Node's pool: memory of its own for each message costs more than all else here.
  const frame = Buffer.allocUnsafe(headerBytes + length);
  frame[0] = wholeBinary;
  frame[1] = (isMasked ? maskedBit : 0) | (isLong ? longLengthMin : length);
  if (isLong) frame.writeUInt16BE(length, 2);
  if (isMasked) frame.fill(0, headerBytes - maskBytes, headerBytes);
  frame.set(message, headerBytes);
  return frame;
}
