/** A TCP connection on whose bytes somebody listens, to see what a wire shows. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/**
 * @param port on loopback, where what is dialled here is passed on to.
 * @param seen gets every byte of both ways.
 */
export async function tapped(
  port: number,
  seen: Buffer[],
): Promise<{ readonly address: string; close(): void }> {
  const tap = createServer((inbound) => {
    const outbound = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [inbound, outbound],
      [outbound, inbound],
    ] as const) {
      from.on('data', (bytes: Buffer) => {
        seen.push(bytes);
        to.write(bytes);
      });
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  tap.listen(0, '127.0.0.1');
  await once(tap, 'listening');
  const bound = tap.address();
  return {
    address: `127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`,
    close: () => void tap.close(),
  };
}
