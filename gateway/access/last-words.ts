/** Ending a connection with a message. */
import type { Duplex } from 'node:stream';

/** Long enough for the message to arrive, and short enough that nobody keeps a connection by never closing it. */
const graceMs = 1_000;

/** Sends the message, and closes the socket when the peer does, or soon after. What it still sends is dropped. */
export function endWith(socket: Duplex, message: string | Uint8Array): void {
  socket.on('error', () => socket.destroy());
  socket.resume();
  socket.end(message);
  const timer = setTimeout(() => socket.destroy(), graceMs);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}

/** The whole of an answer over HTTP/1.1 that closes its connection. */
export function closingAnswer(status: string, json: string): string {
  return (
    `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: application/json\r\n` +
    `content-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`
  );
}
